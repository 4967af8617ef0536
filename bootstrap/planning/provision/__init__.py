"""How machines join, are removed, replaced and upgraded; shared by the plans of the verbs."""
