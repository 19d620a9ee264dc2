from __future__ import annotations

from typing import Any

from router.record.model import Interaction
from router.record.store import Store
from tests.unit.router.record.records import make_record


def trial(i: int, **changes: Any) -> Interaction:
    return make_record(f"t{i}", **({"level": i, "release": "r1", "draft_agreed": True} | changes))


def test_trials_come_oldest_first_from_either_end(store: Store) -> None:
    store.append([trial(i) for i in range(5)])
    store.append([trial(5, release="r2"), trial(6, workload="other"), trial(7, level=None)])
    assert [t.level for t in store.latest_trials("support", 3)] == [3, 4, 5]
    assert [t.level for t in store.latest_trials("support", 3, "r1")] == [2, 3, 4]
    assert [t.level for t in store.first_trials("support", 3, "r1")] == [0, 1, 2]
    assert store.first_trials("support", 3, "r9") == []


def ask(name: str, text: str, **changes: Any) -> Interaction:
    return make_record(name, input_text=text, **changes)


def test_texts_that_were_asked_again_are_grouped(store: Store) -> None:
    store.append(
        [
            *(ask("a1", "Where is it?"), ask("b1", "once"), ask("a2", "  WHERE is it? ")),
            *(ask("c1", "by chance"), ask("a3", "where is it?")),
        ]
    )
    groups = store.asked_again("support", 100)
    assert [[one.id for one in group] for group in groups] == [["a1", "a2", "a3"]]
    assert groups[0][0].teacher_answer == {"content": "delivery"}
    newest = store.asked_again("support", 3)
    assert [[one.id for one in group] for group in newest] == [["a2", "a3"]]


def test_what_the_teacher_did_not_answer_is_not_asked_again(store: Store) -> None:
    again = "where is it?"
    store.append(
        [
            ask("a", again),
            ask("b", again, seen=False, teacher_answer=None),
            ask("c", again, status="broken"),
            ask("d", again, stored=False),
            ask("e", again, workload="other"),
        ]
    )
    assert store.asked_again("support", 100) == []


def test_trials_and_answers_are_counted_from_the_end(store: Store) -> None:
    store.append(
        [
            ask("a", "1", level=0, created_at=1.0),
            ask("b", "2", level=None),
            ask("c", "3", level=2, created_at=3.0),
            ask("d", "4", level=2, created_at=4.0, train_ok=False),
        ]
    )
    assert store.trial_from_end("support", 0) == (4, 4.0)
    assert store.trial_from_end("support", 2) == (1, 1.0)
    assert store.trial_from_end("support", 0, upto_seq=3) == (3, 3.0)
    assert store.trial_from_end("support", 3) is None
    assert store.count_answers_after("support", 1) == 2
    assert store.count_answers_after("other", 0) == 0
