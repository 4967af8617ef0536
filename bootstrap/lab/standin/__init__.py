"""A stand-in for the k3s binary, for the lab and the tests; the README.md beside it lists what it does.

`standin_release.py` makes one executable file of it, since it is installed as k3s is: one executable with links. It
needs only Python's standard library and the openssl command. It runs no containers: it imitates how k3s starts, joins,
refuses, stores, serves and exits. Its nodes are marked as a stand-in in `kubectl get nodes -o wide`.
"""
