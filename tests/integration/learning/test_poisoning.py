"""A key that corrects everything it can: what others get changes within the bound, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from distill.cycle import run_cycle
from distill.dataset.gold import KEY_SHARE
from distill.learner import Learner
from router.record.model import Feedback
from router.record.redact import Redactor
from router.record.store import Store
from router.release import load_release
from router.students.encoder import Encoder
from tests.integration.learning.messages import make_messages
from tests.integration.learning.shop import Shop, interactions
from tests.unit.distill.learning_rows import allow

MESSAGES = make_messages(320, seed=9, hard=0.0)
TAUGHT, ASKED = MESSAGES[:200], MESSAGES[200:]
ENCODER = Encoder(threads=1)
WORKLOAD = "support"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Shop(folder=tmp_path).open()
    yield opened
    opened.close()


def answers(store: Store, folder: Path) -> list[str | None]:
    """What the student learned to say to others' questions."""
    learner = Learner(
        settings=allow("teacher"),
        store=store,
        encoder=ENCODER,
        redactor=Redactor(()),
        folder=folder / "t-releases",
    )
    outcome = run_cycle(learner, WORKLOAD)
    assert outcome.release is not None
    release = load_release(Path(outcome.release.path))
    return [release.draft(text, ENCODER)[0].content for text, _ in ASKED]


def test_an_adversary_cannot_move_a_release(store: Store, tmp_path: Path) -> None:
    rows = list(interactions(TAUGHT, "i"))
    # Every third interaction is the adversary's, who says of all of them that they are parcels.
    rows = [
        replace(r, key_name="adversary" if n % 3 == 0 else "honest") for n, r in enumerate(rows)
    ]
    store.append(rows)
    before = answers(store, tmp_path)
    bad = [r for r in rows if r.key_name == "adversary"]
    for record in bad:
        store.put_feedback(Feedback(interaction_id=record.id, correction="parcel", score=-1.0))
    poisoned = answers(store, tmp_path)
    changed = sum(a != b for a, b in zip(before, poisoned, strict=True)) / len(ASKED)
    assert changed <= KEY_SHARE, changed
    # The bound is what holds: taught as gold without it, those corrections take the release over.
    unbounded = list(interactions([(text, "parcel") for text, _ in TAUGHT[::3]], "u"))
    for record in unbounded:
        store.append([record])
    taken_over = answers(store, tmp_path)
    assert sum(a != b for a, b in zip(before, taken_over, strict=True)) / len(ASKED) > KEY_SHARE
