"""This machine's kernel: cgroups, inotify, KVM, and what container guests need of it."""
