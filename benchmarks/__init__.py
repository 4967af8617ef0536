"""Benchmarks on the lab: `make bench`, or `python -m benchmarks NAME...` for one line of its table."""
