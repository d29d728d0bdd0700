"""The fine-tuned tier: a model of our own behind TGI or any OpenAI-compatible server."""
