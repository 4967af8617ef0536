"""Who may do what, and how the APIs are reached: endpoints, tokens, rights, users."""
