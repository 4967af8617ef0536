"""A command while it runs: session, log, signals, secrets kept out."""
