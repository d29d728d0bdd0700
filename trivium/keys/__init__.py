"""API keys: who may call as which tenant, how often, and who signed a record of Kafka."""
