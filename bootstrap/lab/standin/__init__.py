"""A stand-in for the k3s binary, for the lab and the tests; README.md beside it says what it does and does not do.

`standin_release.py` makes one executable file of it, since it is installed the way k3s is: as one executable with
links. It needs Python's standard library and the openssl command, nothing else. It runs no containers and no pods:
what it is true to is how k3s starts, joins, refuses, stores, serves and dies. Every node it registers says so in
`kubectl get nodes -o wide`.
"""
