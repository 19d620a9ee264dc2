"""What several workers and servers need of the configuration."""

from __future__ import annotations

import pytest

from tests.unit.router.settings.test_check import TEACHER, errors, only_error


@pytest.mark.parametrize(
    ("added", "key", "said"),
    [
        ("store: {url: 'postgresql://h'}\n", "store.url", "names no database"),
        ("server: {workers: 4}\n", "server.workers", "set coordination.url to redis://"),
        (
            "server: {workers: 2}\ncoordination: {url: 'redis://h'}\n"
            "workloads: [{name: w, policy: budget, budget: {usd_per_day: 1}}]\n",
            *("server.workers", "the budget of workload w is kept by one worker only"),
        ),
    ],
)
def test_what_several_workers_and_servers_need(added: str, key: str, said: str) -> None:
    found = only_error(TEACHER + added)
    assert found.key == key
    assert said in found.message


def test_a_shared_coordination_allows_several_workers() -> None:
    assert errors(TEACHER + "server: {workers: 4}\ncoordination: {url: 'redis://h'}\n") == []
    assert errors(TEACHER + "server: {workers: 1}\n") == []
