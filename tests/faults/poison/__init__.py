"""Malformed records and calls, drawn from a seed."""
