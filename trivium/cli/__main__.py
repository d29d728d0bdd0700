"""`python -m trivium.cli`: the same as `trivium`."""

from trivium.cli.app import main

main()
