"""Trivium: answers language-model requests by the cheapest of three roads that can carry each one."""

__version__ = "0.1.0"
