"""Traces, metrics and logs of every process."""
