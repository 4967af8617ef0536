"""The HTTPS gateway: authentication, parameters, permissions, tasks, and fakepve behind it."""
