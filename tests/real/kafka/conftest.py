"""Kafkas of these tests: each started on free ports and stopped afterwards, by nobody else's leave.

A missing Java or Maven is a failure with the sentence that names it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.kafka.cluster import Cluster, ClusterOptions, start

Make = Callable[..., Cluster]


@pytest.fixture(scope="module")
def make_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Starts clusters; all are stopped after the module."""
    started: list[Cluster] = []

    def make(nodes: int = 1, secure: bool = False) -> Cluster:
        data: Path = tmp_path_factory.mktemp("kafka")
        cluster = start(ClusterOptions(data, nodes, 0, secure), say=lambda _sentence: None)
        started.append(cluster)
        return cluster

    yield make
    for cluster in started:
        cluster.stop()


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> Cluster:
    """One node."""
    return make_cluster()
