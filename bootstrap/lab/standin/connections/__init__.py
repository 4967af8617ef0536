"""Tokens, passwords, certificates, and connections to other machines."""
