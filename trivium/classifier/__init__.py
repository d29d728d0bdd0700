"""The `auto` classifier: a linear head over embeddings that names the task, or says that the work is novel."""
