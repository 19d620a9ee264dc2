"""The rules by which rows become a dataset: which answer counts, who may teach, what is old."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from distill.dataset import BuildTerms, Dataset, Example, build_dataset
from distill.dataset.merging import fold
from distill.dataset.near import near_pairs
from distill.dataset.reasoning import shorten
from router.record.model import Corrected, TrainingRow
from router.record.redact import Redactor
from router.settings.model import Settings
from tests.unit.distill.learning_rows import allow, row

ALLOWED = allow("teacher")
WHOLE = BuildTerms(near=None, held_out=0.0)


def build(
    rows: Iterable[TrainingRow],
    terms: BuildTerms = WHOLE,
    settings: Settings = ALLOWED,
    corrected: Iterable[Corrected] = (),
) -> Dataset:
    return build_dataset("shop", rows, settings, Redactor(()), corrected=corrected, terms=terms)


def content(example: Example) -> Any:
    return example.target["content"]


def test_a_contradiction_is_settled_by_the_newest_teacher_then_by_the_majority() -> None:
    old = [row("where", "lost", seq=i, teacher_version="v1") for i in range(5)]
    new = [
        row("where", "parcel", seq=6, teacher_version="v2"),
        row("where", "parcel", seq=7, teacher_version="v2"),
        row("where", "order", seq=8, teacher_version="v2"),
    ]
    found = build([*old, *new])
    (example,) = found.bundle.examples
    assert (content(example), example.teacher_version, example.weight) == ("parcel", "v2", 8.0)
    assert found.dropped == {"contradiction": 6, "duplicate": 1}
    assert len(example.sources) == 8


def test_near_duplicates_become_one_only_where_they_have_one_answer() -> None:
    texts = [f"I ordered a jacket last week and it never came, number {i}" for i in range(3)]
    given = [row(texts[0], "parcel"), row(texts[1], "parcel"), row(texts[2], "refund")]
    found = build(given, replace(WHOLE, near=0.8))
    assert [(e.text, e.weight) for e in found.bundle.examples] == [(texts[1], 2.0), (texts[2], 1.0)]
    assert found.dropped == {"near_duplicate": 1}
    assert len(build(given).bundle.examples) == 3


def test_a_key_that_took_its_consent_back_teaches_nothing() -> None:
    keys = [
        {"name": "yes", "key_env": "A", "tenant": "shop", "train_on": True},
        {"name": "no", "key_env": "B", "tenant": "shop"},
    ]
    given = [row("a", "x", key_name="yes"), row("b", "y", key_name="no")]
    found = build(given, settings=allow("teacher", keys=keys))
    assert [e.text for e in found.bundle.examples] == ["a"]
    assert (found.rows, found.dropped) == (2, {"consent": 1})


def test_tenants_never_mix() -> None:
    given = [row("a", "x", tenant="other"), row("b", "y"), row("a", "z", tenant="other")]
    found = build([*given, row("c", "z")])
    assert [e.text for e in found.bundle.examples] == ["b", "c"]
    assert found.dropped == {"other_tenant": 2}
    assert found.bundle.manifest["tenant"] == "shop"


def conversation(*turns: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": t} for i, t in enumerate(turns)]}


def stream(count: int = 200) -> list[TrainingRow]:
    """Single questions, paraphrases of earlier ones, and conversations that go on."""
    rng = random.Random(3)
    words = [f"{a}{b}" for a in ("blue", "stone", "wind", "lamp") for b in range(30)]
    rows: list[TrainingRow] = []
    for i in range(count):
        text = " ".join(rng.sample(words, 12))
        if i % 9 == 8:  # an earlier question with another end
            text = rows[rng.randrange(i)].input_text.rsplit(" ", 1)[0]
        request = conversation(text)
        if i % 10 == 7:
            request = conversation(f"good morning {i // 40}", "hello", text)
        rows.append(row(text, "parcel", id=f"i{i}", seq=i, created_at=1000.0 + i, request=request))
    return rows


def test_what_is_held_out_is_newer_and_shares_no_group_with_what_is_trained_on() -> None:
    found = build(stream(), replace(WHOLE, held_out=0.25)).bundle.examples
    train = [e for e in found if e.split == "train"]
    held_out = [e for e in found if e.split == "held_out"]
    assert train
    assert held_out
    assert any(e.split == "apart" for e in found)
    newest = max(s.created_at for e in train for s in e.sources)
    assert newest < min(s.created_at for e in held_out for s in e.sources)
    assert {e.group for e in train}.isdisjoint(e.group for e in held_out)

    def opening(example: Example) -> str:
        return fold(example.request["messages"][0]["content"])

    assert {opening(e) for e in train}.isdisjoint(map(opening, held_out))
    both = [e.text for e in [*train, *held_out]]
    leaks = [(i, j) for i, j in near_pairs(both, 0.8) if (i < len(train)) != (j < len(train))]
    assert leaks == []


def test_of_a_log_without_times_the_last_are_held_out() -> None:
    asked = {text: {"messages": [{"role": "user", "content": text}]} for text in "abcdefghij"}
    rows = [row(text, "parcel", created_at=7.0, request=asked[text]) for text in asked]
    found = build(rows, replace(WHOLE, held_out=0.2)).bundle.examples
    assert [e.split for e in found] == ["train"] * 8 + ["held_out"] * 2


def test_a_split_that_ignored_groups_would_leak() -> None:
    """The stream above has what the test before must be able to find."""
    rows = stream()
    texts = [r.input_text for r in rows]
    assert any(i < 150 <= j for i, j in near_pairs(texts, 0.8))


@pytest.mark.parametrize(("replay", "old"), [(0.1, 11), (0.2, 25), (0.0, 0)])
def test_a_share_of_what_was_known_is_shown_again(replay: float, old: int) -> None:
    rows = [row(f"q{i}", "x", id=f"i{i}", created_at=float(i)) for i in range(300)]
    found = build(rows, replace(WHOLE, since=200.0, replay=replay))
    mix = found.bundle.manifest["mix"]
    assert mix == {"new": 100, "replayed": old}
    assert found.dropped == {"not_replayed": 200 - old}
    assert all(e.replayed == (e.sources[0].created_at < 200.0) for e in found.bundle.examples)


TRACE = "<think>First I look. " + "Then I wonder a little. " * 60 + "So it is a parcel.</think>\n"


def test_reasoning_is_kept_shortened_or_dropped_and_never_compared() -> None:
    given = [row("a", f"{TRACE}parcel"), row("b", "parcel")]
    kept = build(given)
    assert len({e.key for e in kept.bundle.examples}) == 1
    assert content(kept.bundle.examples[0]) == f"{TRACE}parcel"
    short = build(given, replace(WHOLE, reasoning="shorten"))
    said = content(short.bundle.examples[0])
    assert said.startswith("<think>First I look. ")
    assert said.endswith("So it is a parcel.</think>\n\nparcel")
    assert len(said) < 700
    dropped = build(given, replace(WHOLE, reasoning="drop"))
    assert [content(e) for e in dropped.bundle.examples] == ["parcel", "parcel"]
    for found, name in ((kept, "kept"), (short, "shortened"), (dropped, "dropped")):
        assert found.bundle.manifest["reasoning"] == {name: 1}


def test_a_short_trace_stays_and_a_long_one_keeps_both_ends() -> None:
    assert shorten("One. Two.") == "One. Two."
    assert shorten("Aa. Bb. Cc. Dd. Ee.", 9) == "Aa. Bb. … Ee."


def test_the_manifest_says_what_went_in() -> None:
    given = [
        row("a", "x", id="i1", created_at=5.0, teacher_version="v1", key_name="k"),
        row("b", "y", id="i2", created_at=9.0, teacher_model="other"),
    ]
    manifest = build(given).bundle.manifest
    assert manifest["dropped"] == {"licence": 1}
    assert manifest["span"] == {"from": 5.0, "to": 5.0}
    assert manifest["teachers"] == {"teacher/v1": 1}
    assert manifest["keys"] == {"k": 1}
    assert (manifest["licence"], manifest["rows"], manifest["examples"]) == ("allowed", 2, 1)
    assert json.dumps(manifest)


def test_who_the_user_is_stays_out_of_the_request() -> None:
    body = conversation("a") | {"user": "user_1", "safety_identifier": "user_1"}
    (example,) = build([row("a", "x", request=body)]).bundle.examples
    assert example.request == conversation("a")
    assert example.sources[0].user == "user_1"
