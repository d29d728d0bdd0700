"""Who is told that a budget nears its end: the log, a topic, a webhook."""
