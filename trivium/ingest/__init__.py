"""Sending documents to the retrieval service: which files, of what kind, and what became of them."""
