"""The worker and server harness that every tier uses, over one Generator."""
