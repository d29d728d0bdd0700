"""Texts to unit vectors: bundled static vectors (`static`) or a text-embeddings-inference server (`remote`)."""
