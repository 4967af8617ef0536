"""`python -m bootstrap` is `homelab-k8s`."""

from bootstrap.cli.main import main

if __name__ == "__main__":
    main()
