"""The product's own gate in the comparison: its signals, its candidates, its choice.

It is asked to rank the gain, which is known here, and not agreement with the teacher, which is what
a gate in service learns from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.frontier.ranker import Floats, NotApplicableError, right
from benchmarks.frontier.texts import question_text
from distill.streams import StreamRow
from distill.train.gate_alone import choose_signals
from policies.fit.gate import fit_gate
from policies.scoring.gate import Gate
from policies.types import Evidence
from router.evidence.logprobs import read_signals
from router.evidence.measure import measure_draft


class ProductGate:
    """``policies.fit.gate`` over what ``replay --fit`` measures on a recorded draft."""

    def fit(self, rows: Sequence[StreamRow], seed: int) -> None:
        student, teacher = right(rows)
        good = teacher * (1.0 - student) == 0.0
        names = [row.workload for row in rows]
        self._gates = {}
        for name in set(names):
            chosen = np.array([one == name for one in names])
            measured = [_measure(row) for row, own in zip(rows, chosen, strict=True) if own]
            asked = [question_text(row) for row, own in zip(rows, chosen, strict=True) if own]
            gain = (teacher - student)[chosen]
            self._gates[name] = _fit(measured, asked, good[chosen], gain, seed)

    def score(self, rows: Sequence[StreamRow]) -> Floats:
        return self.probability(rows)

    def probability(self, rows: Sequence[StreamRow]) -> Floats:
        """That serving the draft loses nothing; 0 where there is no gate or a signal is missing."""
        found = []
        for row in rows:
            gate = self._gates.get(row.workload)
            read = {} if gate is None else gate.read(question_text(row))
            evidence = Evidence(available=True, signals=_measure(row) | read)
            found.append(0.0 if gate is None else gate.confidence(evidence) or 0.0)
        return np.array(found)


def _fit(
    measured: Sequence[dict[str, float]],
    asked: Sequence[str],
    good: NDArray[np.bool_],
    gain: Floats,
    seed: int,
) -> Gate:
    names, has_raw = choose_signals(measured)
    if not names:
        raise NotApplicableError("the drafts carry no signals")
    whole = np.array([set(names) <= signals.keys() for signals in measured])
    signals = np.array(
        [[s[name] for name in names] for s, ok in zip(measured, whole, strict=True) if ok]
    )
    weights = np.ones(len(signals))
    questions = [question for question, ok in zip(asked, whole, strict=True) if ok]
    return fit_gate(
        *(signals, names, good[whole], weights, seed),
        has_raw=has_raw,
        questions=questions,
        lost=gain[whole],
    ).gate


def _measure(row: StreamRow) -> dict[str, float]:
    if row.student is None:
        return {}
    return measure_draft(row.body, row.student.answer) | read_signals(row.student.evidence)
