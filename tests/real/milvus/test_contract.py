"""What every store of documents must do, on a real Milvus."""

from tests.contract.test_retriever import *  # noqa: F403
