"""A running command: session, log, signals, masked secrets."""
