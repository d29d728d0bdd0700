"""The mesh under kill -9: `python -m tests.faults --help`. What is promised and what was measured: docs/reliability.md."""
