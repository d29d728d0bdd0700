"""The semantic cache in process: an index by scope, a verifier that reads both texts, and what trains it."""
