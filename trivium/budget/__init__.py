"""What a paying process has of the budgets: leases out of the log, reservations out of the leases."""
