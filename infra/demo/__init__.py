"""The main job on one machine: the whole mesh answers a file of support requests and says what it came to."""
