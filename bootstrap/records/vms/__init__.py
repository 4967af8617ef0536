"""Signed records in the descriptions of VMs: machines, templates, and the lock's marker VM."""
