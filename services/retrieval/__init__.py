"""The retrieval tier: documents in Milvus, passages found for a question, an answer grounded in them."""
