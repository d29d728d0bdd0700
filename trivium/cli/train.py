"""`trivium train-classifier` and `trivium train-cache`."""

from pathlib import Path

import click

from trivium.cli.screen import json_option
