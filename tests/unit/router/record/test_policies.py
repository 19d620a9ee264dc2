from __future__ import annotations

from router.record.store import Store


def test_versions_are_numbered_by_workload_and_never_lost(store: Store) -> None:
    first = store.add_policy("shop", {"promise": None, "threshold": 0.5}, author="a", reason="r")
    store.add_policy("bank", {"policy": "student"}, author="b", reason="s")
    last = store.add_policy("shop", None, author="c", reason="back")
    assert (first.version, last.version, last.change) == (1, 2, None)
    assert store.newest_policies()["shop"] == last
    assert store.newest_policies()["bank"].version == 1
    assert store.policy_history("shop") == [last, first]
    assert store.policy_history("nobody") == []
