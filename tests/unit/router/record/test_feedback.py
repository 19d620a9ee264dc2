from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.exc import IntegrityError

from router.record.model import Feedback
from router.record.store import Store
from tests.unit.router.record.records import make_record


@pytest.fixture
def store() -> Iterator[Store]:
    times = iter(range(1000, 2000))
    opened = Store.open(":memory:", lambda: float(next(times)))
    yield opened
    opened.close()


def test_feedback_is_kept_once_and_the_newest_counts(store: Store) -> None:
    store.append([make_record("i1")])
    said = Feedback(interaction_id="i1", score=-1.0, correction="order", label={"a": [1]})
    first = store.put_feedback(said)
    assert first == Feedback(
        interaction_id="i1", score=-1.0, correction="order", label={"a": [1]}, at=1000.0
    )
    assert store.put_feedback(said) == first
    changed = store.put_feedback(Feedback(interaction_id="i1", score=0.5))
    assert (changed.score, changed.correction, changed.at) == (0.5, None, 1002.0)
    (found,) = store.corrected("support")
    assert found.feedback == changed


def test_feedback_about_nothing_is_refused(store: Store) -> None:
    with pytest.raises(IntegrityError):
        store.put_feedback(Feedback(interaction_id="nope", score=1.0))


def test_only_what_may_be_learned_from_is_read_in_the_interactions_order(store: Store) -> None:
    store.append(
        [
            make_record("i1"),
            make_record("i2", train_ok=False),
            make_record("i3", stored=False),
            make_record("i4", workload="other"),
            make_record("i5", teacher_answer=None, teacher_model=None),
        ]
    )
    for name in ("i5", "i4", "i3", "i2", "i1"):
        store.put_feedback(Feedback(interaction_id=name, correction="order"))
    found = list(store.corrected("support"))
    assert [(one.id, one.key_name, one.teacher_answer) for one in found] == [
        ("i1", "shop", {"content": "delivery"}),
        ("i5", "shop", None),
    ]
    assert list(store.corrected("support", after_seq=found[-1].seq)) == []


def test_more_feedback_than_a_page(store: Store) -> None:
    store.append([make_record(f"i{n}") for n in range(501)])
    for n in range(501):
        store.put_feedback(Feedback(interaction_id=f"i{n}", score=1.0))
    assert len(list(store.corrected("support"))) == 501
