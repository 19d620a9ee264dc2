"""distilroute, from the package index: a classifier learned from a log, at its default promise.

It learns labels and needs no recorded student, so its case is the bank's messages, not the streams
with two recorded models: the same rows in the same order, cold, one pass, as its README uses it
(retrained every 500 answers, 95 % agreement among what it answers by itself). It is installed into
an environment of its own, which is kept.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.frontier.texts import question_text
from benchmarks.installed import install, run
from distill.streams import StreamRow

PACKAGE = "distilroute==0.1.0"
_RUN = Path(__file__).with_name("rival_run.py")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of one pass over the rows; ``agreement_served`` is None where it answered nothing."""

    rows: int
    seed: int
    asked_share: float
    agreement: float
    agreement_served: float | None


def run_rival(rows: Sequence[StreamRow], seed: int, cache: Path) -> Outcome:
    """One pass in an order drawn from the seed. Raises UnavailableError where it can't be run."""
    python = install(PACKAGE, cache / PACKAGE.replace("==", "-"))
    order = np.random.default_rng(seed).permutation(len(rows))
    queries = [(question_text(rows[i]), rows[i].teacher.answer.content or "") for i in order]
    with tempfile.TemporaryDirectory() as folder:
        asked, given = Path(folder) / "queries.json", Path(folder) / "answers.json"
        asked.write_text(json.dumps(queries), encoding="utf-8")
        run([str(python), str(_RUN), str(asked), str(given)], PACKAGE, Path(folder))
        answers = json.loads(given.read_text(encoding="utf-8"))
    return measure(queries, answers, seed)


def measure(
    queries: Sequence[tuple[str, str]], answers: Sequence[tuple[str, str]], seed: int
) -> Outcome:
    """Shares from (text, teacher's answer) and (answer given, "local" or "llm"), in one order."""
    served = np.array([source == "local" for _, source in answers])
    pairs = zip(queries, answers, strict=True)
    agrees = np.array([given == wanted for (_, wanted), (given, _) in pairs])
    return Outcome(
        rows=len(queries),
        seed=seed,
        asked_share=float(1 - served.mean()),
        agreement=float(agrees.mean()),
        agreement_served=float(agrees[served].mean()) if served.any() else None,
    )
