"""The auditor of budgets: closes what holders left behind when they died."""
