"""Anthropic's Messages API, shared by the process that calls it and the one that submits batches: its wire, and the SDK."""
