"""gRPC plumbing: one kind of server, one kind of channel, guarded handlers and spans that always end."""
