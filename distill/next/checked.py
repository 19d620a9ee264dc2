"""Records → questions whose drafts were compared with the teacher's answers, as they weigh.

An answer that was asked for with probability π stands for 1/π interactions, so the sums over
checked questions are estimates for all traffic and not for its hard part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distill.dataset.merging import fold
from distill.dataset.model import Tally
from distill.dataset.reasoning import rewrite
from distill.dataset.selection import select
from distill.wording import answer_text
from router.generative.rung import BEFORE
from router.record.model import TrainingRow
from router.record.redact import Redactor
from router.record.store import Store
from router.settings.model import Settings

_LONGEST = 40


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One question, however often it was asked.

    ``asked``: how many interactions it stands for; ``wrong``: of these, where the draft disagreed;
    ``teacher`` and ``draft``: what was said the last time that they disagreed, shortened, empty
    where they never did; ``id``: of an interaction that asked it.
    """

    text: str
    asked: float
    id: str = ""
    wrong: float = 0.0
    teacher: str = ""
    draft: str = ""


def gather(
    rows: Iterable[TrainingRow],
    settings: Settings,
    redactor: Redactor,
    release: str | None,
    tally: Tally,
) -> list[Checked]:
    """The questions that ``release`` drafted and the teacher answered, sorted by their text.

    They pass the gates of a dataset (licence, consent, tenant, redaction), since nothing else could
    be learned; what is left out is counted in ``tally``.
    """
    drafted = (
        row
        for row in rows
        if row.draft_agreed is not None
        and row.draft
        and row.release == release
        and BEFORE not in row.evidence
    )
    found: dict[str, Checked] = {}
    for one in select(drafted, settings, redactor, tally):
        row, weight = one.row, 1.0 / one.row.propensity
        if not row.input_text.strip():
            tally.drop("no_text")
            continue
        known = found.get(fold(row.input_text), Checked(text=row.input_text, asked=0.0, id=row.id))
        known = replace(known, asked=known.asked + weight)
        if not row.draft_agreed:
            known = replace(
                known,
                wrong=known.wrong + weight,
                teacher=say(row.teacher_answer),
                draft=say(redactor.json(row.draft)),
            )
        found[fold(row.input_text)] = known
    return [found[text] for text in sorted(found)]


def find_release(store: Store, workload: str) -> str | None:
    """Whose drafts count: of the release in force; with none in force, of the last that was."""
    active = store.active_releases().get(workload)
    if active is not None:
        return active
    past = (one.digest for one in store.releases(workload) if one.promoted_at is not None)
    return next(past, None)


def thin_out(checked: Sequence[Checked], most: int, seed: int) -> list[Checked]:
    """At most ``most`` questions that were wrong and as many that weren't, at random; those that
    stay stand for those that go."""
    kept: list[Checked] = []
    for group in ([c for c in checked if c.wrong], [c for c in checked if not c.wrong]):
        if len(group) <= most:
            kept += group
            continue
        chosen = np.random.default_rng(seed).choice(len(group), most, replace=False)
        taken = [group[i] for i in sorted(chosen)]
        scale = sum(c.asked for c in group) / sum(c.asked for c in taken)
        kept += [replace(c, asked=c.asked * scale, wrong=c.wrong * scale) for c in taken]
    return kept


def shorten(text: str, most: int) -> str:
    """On one line, with an ellipsis where something is missing."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def say(answer: Mapping[str, Any]) -> str:
    """The answer, shortened, without the reasoning before it."""
    return shorten(answer_text(rewrite(answer, "drop")), _LONGEST)
