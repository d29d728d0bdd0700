"""A real Apache Kafka on this machine, without containers: fetched by Maven, run by Java, KRaft."""
