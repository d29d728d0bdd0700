"""Kafka plumbing of the kernel: records, producer, outbox, consumers, views of topics."""
