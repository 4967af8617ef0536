"""Settings on machines that run, k3s's and the system's: what differs, and how it is rolled out."""
