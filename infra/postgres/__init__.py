"""A real PostgreSQL on this machine, for the ledger."""
