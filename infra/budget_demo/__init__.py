"""`make budget-demo`: five hundred requests at once on a budget of one dollar, and a process killed in the middle."""
