from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from router.record.model import Feedback, Interaction
from router.record.redact import Redactor
from router.record.store import Store
from router.record.subject import find_user, hide_user, pseudonym_of
from tests.unit.router.record.records import make_record


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store.open(":memory:")
    yield opened
    opened.close()


def of_user(record_id: str, tenant: str = "shop", **body: Any) -> Interaction:
    """As the gateway writes it, where addresses are redacted."""
    given = {"messages": [], **body}
    redacted = Redactor(("email", "phone", "card", "iban", "secret")).json(given)
    return make_record(record_id, tenant=tenant, request=hide_user(redacted, given, tenant))


def left(store: Store) -> set[str]:
    return {record.id for record in store.latest(100)}


def test_a_users_name_is_nowhere_and_tells_users_and_tenants_apart() -> None:
    one = of_user("i", user="jo@example.com").request
    other = of_user("i", user="al@example.com").request
    elsewhere = of_user("i", "other", user="jo@example.com").request
    assert one is not None
    assert other is not None
    assert elsewhere is not None
    assert "example" not in str(one)
    assert find_user(one) == pseudonym_of("shop", "jo@example.com")
    assert len({find_user(one), find_user(other), find_user(elsewhere)}) == 3


def test_the_rest_of_the_body_is_left_alone() -> None:
    body = {"metadata": {"user_id": "u1", "plan": "x"}, "user": "", "safety_identifier": 4}
    assert hide_user(body, body, "t") == body | {
        "metadata": {"user_id": pseudonym_of("t", "u1"), "plan": "x"}
    }
    assert hide_user({"metadata": "x"}, {"metadata": "x"}, "t") == {"metadata": "x"}
    assert find_user({"metadata": {"user_id": "b"}, "user": "a"}) == "a"
    assert find_user({}) is None


def test_a_user_is_erased_wherever_the_body_names_them(store: Store) -> None:
    store.append(
        [
            of_user("i1", user="jo@example.com"),
            of_user("i2", user="al@example.com"),
            of_user("i3", safety_identifier="jo@example.com"),
            of_user("i4", metadata={"user_id": "jo@example.com"}),
            of_user("i5", "other", user="jo@example.com"),
            make_record("i6", request={"user": "jo@example.com"}),  # of before pseudonyms
            make_record("i7", request={"user": "[email]"}),
            make_record("i8", stored=False),
        ]
    )
    store.put_feedback(Feedback(interaction_id="i1", correction="x"))
    assert store.erase_user("jo@example.com", "shop") == ["i1", "i3", "i4", "i6"]
    assert left(store) == {"i2", "i5", "i7", "i8"}
    assert list(store.corrected("support")) == []
    assert store.erase_user("jo@example.com") == ["i5"]
    assert store.erase_user("[email]") == []


def test_a_key_is_erased_with_all_it_sent(store: Store) -> None:
    store.append([make_record(f"i{n}", key_name="a" if n % 2 else "b") for n in range(1_200)])
    erased = store.erase_key("a")
    assert (len(erased), erased[0]) == (600, "i1")
    assert store.erase_key("a") == []
    assert store.count_answers("support") == 600


@pytest.mark.parametrize("way", ["key", "age"])
def test_a_cycle_has_not_seen_what_is_gone(store: Store, way: str) -> None:
    """Else the next one would wait for as many answers again."""
    old = [make_record(f"o{n}", key_name="a", created_at=1.0) for n in range(60)]
    store.append([*old, *(make_record(f"n{n}", key_name="b") for n in range(50))])
    cycle = store.begin_cycle("support", store.count_answers("support"))
    assert cycle is not None
    other = store.begin_cycle("other", 70)
    assert other is not None
    if way == "key":
        assert len(store.erase_key("a")) == 60
    else:
        assert store.purge_before(50.0) == 60
    assert store.count_answers("support") == 50
    assert {c.workload: c.answers_seen for c in store.cycles(2)} == {"support": 50, "other": 70}
