"""The command line: `trivium --help`."""

from trivium.cli.app import main

__all__ = ["main"]
