"""The command line: parses, shows, exits."""
