"""Learning for a student behind a server: whose drafts teach the gate, and how an adapter enters.

Its drafts are recorded while the teacher still answers, so each is held out by nature, as long as
it was made by the very student that the gate is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from policies.compare import choose_comparer
from policies.scoring.gate import Gate
from policies.types import Shape
from router.errors import ConfigError
from router.generative.rung import is_students_own
from router.generative.student import GenerativeStudent, keep_adapter
from router.record.model import Release as ReleaseRecord
from router.record.model import TrainingRow
from router.record.store import Store
from router.release import Release, save_release
from router.settings.model import Settings
from router.students.encoder import WEIGHTS_SHA256
from router.workload import find_settings

_DATED = r"(-\d{4}-\d{2}-\d{2})?"


@dataclass(frozen=True, kw_only=True)
class Learned:
    """How an adopted student was made, as far as its release tells: see ``Release``. ``report``:
    for people, JSON-ready."""

    comparer: str
    gate: Gate | None = None
    forms: frozenset[str] | None = None
    prompts: frozenset[str] | None = None
    dataset: str | None = None
    report: Mapping[str, Any] = field(default_factory=dict)


def find_student(settings: Settings, active: Release | None) -> GenerativeStudent | None:
    """The student that drafts now: of the release in force, else the configured base model; None
    where the configured one is embedded."""
    configured = settings.generative_student
    if configured is None or configured.model is None:
        return None
    if active is not None and isinstance(active.student, GenerativeStudent):
        return active.student
    return GenerativeStudent(base=configured.model)


def keep_drafts_of(
    student: GenerativeStudent, rows: Iterable[TrainingRow], drafted_by: Mapping[str, str]
) -> Iterator[TrainingRow]:
    """The rows, without the drafts of others: those say nothing about this student.

    ``drafted_by``: what the server called its model, by interaction. Some servers tell the date of
    a base model behind its name.
    """
    own = re.compile(re.escape(student.model) + ("" if student.adapter else _DATED))
    for row in rows:
        said = drafted_by.get(row.id, "")
        if own.fullmatch(said) and is_students_own(row.evidence):
            yield row
        else:
            yield replace(row, draft=None, draft_agreed=None, confidence=None, evidence={})


def adopt(
    settings: Settings,
    store: Store,
    folder: Path,
    workload: str,
    *,
    source: Path | None = None,
    base: str | None = None,
    learned: Learned | None = None,
) -> ReleaseRecord:
    """Enter a student that was made elsewhere as a candidate of a workload.

    ``source``: an adapter in peft's format, of which a copy is kept; without it the student is the
    model that a server calls ``base``, such as whole weights with an adapter merged in. ``base``:
    the configured one where not given; ``folder``: of the releases; ``learned``: what is known of
    how it was made. Without a gate in it the release serves nothing: once in force its drafts are
    recorded beside the teacher's answers, and the next cycle learns a gate from them. Raises
    ConfigError where the student is embedded, ReleaseError where ``source`` is no adapter.
    """
    configured = need_student(settings)
    learned = learned or Learned(comparer=_comparer_of(settings, store, workload))
    adapter = None if source is None else keep_adapter(source, folder)
    digest, path = save_release(
        folder,
        workload=workload,
        comparer=learned.comparer,
        encoder=WEIGHTS_SHA256,
        student=GenerativeStudent(base=base or configured, adapter=adapter),
        gate=learned.gate,
        forms=learned.forms,
        prompts=learned.prompts,
        dataset=learned.dataset,
    )
    return store.add_release(
        digest=digest, workload=workload, path=str(path), report=learned.report
    )


def need_student(settings: Settings) -> str:
    """What the servers call the configured base model. Raises ConfigError where there is none."""
    configured = settings.generative_student
    if configured is None or configured.model is None:
        raise ConfigError(
            "This needs a student of kind openai: set models.student in the configuration."
        )
    return configured.model


def _comparer_of(settings: Settings, store: Store, workload: str) -> str:
    """The configured one, else that of the newest answer of the teacher's."""
    configured = find_settings(settings, workload)
    if configured is not None and configured.compare is not None:
        return configured.compare
    names = [row.comparer for row in store.training_rows(workload)]
    return names[-1] if names else choose_comparer(Shape(), [])
