"""Who may do what: roles, reviews, certificates of users."""
