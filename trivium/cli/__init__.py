"""The command line: `trivium --help`."""
