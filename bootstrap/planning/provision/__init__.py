"""How machines join, leave and are replaced; shared by the plans of the verbs."""
