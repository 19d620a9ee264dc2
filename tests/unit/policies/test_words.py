from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from policies.fit.gate import FittedGate, fit_gate
from policies.scoring.gate import Gate
from policies.scoring.scorers import Floats
from policies.scoring.words import DIFFICULTY, PLACES, Words, read_words
from policies.types import Evidence

ROWS = 600
TOPICS = ("volcano eruptions", "tax returns", "train tickets", "sonnets in French")
NAMES = ["one", "two"]


def draw(seed: int = 3) -> tuple[Floats, list[str], NDArray[np.bool_], Floats]:
    """Signals that say a little; questions whose topic says much: drafts about the first lose
    against the teacher, those about the last win as often as the others tie."""
    rng = np.random.default_rng(seed)
    topic = rng.integers(len(TOPICS), size=ROWS)
    signals = rng.normal(size=(ROWS, 2))
    questions = [f"Tell me about {TOPICS[k]} number {i}" for i, k in enumerate(topic)]
    bad = rng.random(ROWS) < np.where(topic == 0, 0.7, 0.1)
    gain = np.where(bad, 1.0, np.where((topic == 3) & (rng.random(ROWS) < 0.6), -1.0, 0.0))
    return signals, questions, ~bad, gain


@cache
def fit(*, by_gain: bool = False, has_raw: bool = False) -> FittedGate:
    signals, questions, good, gain = draw()
    lost = gain if by_gain else None
    return fit_gate(
        *(signals, NAMES, good, np.ones(ROWS), 0), has_raw=has_raw, questions=questions, lost=lost
    )


def judge(gate: Gate, question: str) -> float:
    signals = {"one": 0.0, "two": 0.0, **gate.read(question)}
    confidence = gate.confidence(Evidence(available=True, signals=signals))
    assert confidence is not None
    return confidence


def test_a_question_is_a_vector_of_length_one_of_any_words() -> None:
    read = read_words("What is a zygomorphic flower, and what is not?")
    assert sum(value**2 for value in read.values()) == pytest.approx(1.0)
    assert all(0 <= place < PLACES for place in read)
    assert read_words("WHAT IS A zygomorphic flower and, what is not") == read
    assert read_words("?!") == {}


def test_a_question_without_words_is_as_hard_as_the_average() -> None:
    words = Words(weights=np.ones(PLACES), bias=0.25)
    assert words.difficulty("…") == 0.25
    assert words.difficulty("two words") > 0.25


def test_words_decide_where_signals_say_nothing() -> None:
    fitted = fit()
    assert fitted.name == "added"
    assert fitted.gate.signals == (*NAMES, DIFFICULTY)
    hard, easy = (judge(fitted.gate, f"Tell me about {TOPICS[k]}") for k in (0, 1))
    assert hard < 0.5 < easy


def test_a_gate_over_words_is_calibrated_on_questions_it_has_not_seen() -> None:
    gate = fit().gate
    signals, questions, good, _ = draw(seed=4)
    read = [[*row, gate.read(q)[DIFFICULTY]] for row, q in zip(signals, questions, strict=True)]
    confidence = gate.confidences(np.asarray(read), [*NAMES, DIFFICULTY])
    for part in np.array_split(np.argsort(confidence), 3):
        assert abs(confidence[part].mean() - good[part].mean()) < 0.08


def test_where_more_than_agreement_is_known_the_gate_ranks_by_it() -> None:
    """Where the student beats the teacher it is served first, though it errs as often elsewhere."""
    gates = {"agreement": fit().gate, "gain": fit(by_gain=True).gate}
    asked = [f"Tell me about {TOPICS[k]}" for k in (1, 2, 3)]
    leads = {
        name: judge(gate, asked[2]) - max(judge(gate, one) for one in asked[:2])
        for name, gate in gates.items()
    }
    assert leads["gain"] > 0.02
    assert leads["gain"] > leads["agreement"]


def test_beside_a_confidence_words_are_not_read() -> None:
    gate = fit(has_raw=True).gate
    assert gate.words is None
    assert DIFFICULTY not in gate.signals
    assert gate.read("Tell me about volcano eruptions") == {}


def test_a_gate_over_words_survives_its_arrays() -> None:
    gate = fit().gate
    again = Gate.from_arrays(gate.signals, gate.scorer.kind, gate.to_arrays())
    question = "Tell me about tax returns"
    assert judge(again, question) == judge(gate, question)
    without = replace(gate, words=None)
    assert Gate.from_arrays(gate.signals, gate.scorer.kind, without.to_arrays()).words is None


def test_without_its_question_a_draft_is_not_judged() -> None:
    gate = fit().gate
    evidence = Evidence(available=True, signals={"one": 0.0, "two": 0.0})
    assert gate.confidence(evidence) is None
