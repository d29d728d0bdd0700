"""A question that names a section finds it, on a real Milvus."""

from tests.contract.test_retriever_sections import *  # noqa: F403
