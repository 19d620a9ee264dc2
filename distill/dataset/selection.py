"""Which rows may teach: the teacher's licence, the key's consent, one tenant; redacted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from distill.dataset.model import Source, Tally
from policies.types import Shape
from router.record.model import Corrected, TrainingRow
from router.record.redact import Redactor
from router.record.subject import USER_FIELDS, find_user
from router.settings.model import Settings
from router.wire.openai import shape_of
from router.wire.profile import Profile, profile_of


@dataclass(frozen=True, kw_only=True)
class Selected:
    """A row that may teach, without its request but for that as JSON text, not redacted again."""

    row: TrainingRow
    shape: Shape
    profile: Profile
    request: str
    source: Source


class Memory(Protocol):
    """Keeps what was made of a row, so that the next cycle needn't make it again."""

    def select(self, row: TrainingRow, read: Callable[[TrainingRow], Selected]) -> Selected:
        """What ``read`` makes of the row."""
        ...


def select(
    rows: Iterable[TrainingRow],
    settings: Settings,
    redactor: Redactor,
    tally: Tally,
    memory: Memory | None = None,
) -> list[Selected]:
    """The rows that may teach, in their order.

    Consent (``train_on``, ``store``) is settled when a record is written: a row without it never
    gets here. A key whose consent was taken back since teaches nothing any more. What was stored
    before a rule of redaction was configured is redacted here: the answers too, since a student
    says them to others.
    """
    withdrawn = {key.name for key in settings.keys if not key.train_on}
    teaching = _admit(rows, settings, withdrawn, tally)
    read = _Reader(redactor).read
    if memory is None:
        found = [read(row) for row in teaching]
    else:
        found = [memory.select(row, read) for row in teaching]
    # The newest row's: a configuration without tenants, or with others, may lie behind.
    tenant = found[-1].row.tenant if found else ""
    kept = [one for one in found if one.row.tenant == tenant]
    tally.drop("other_tenant", len(found) - len(kept))
    return kept


def select_corrected(
    given: Iterable[Corrected], settings: Settings, tenant: str
) -> Iterator[Corrected]:
    """Feedback that may teach, by the same gates; of the tenant alone."""
    withdrawn = {key.name for key in settings.keys if not key.train_on}
    return (one for one in given if one.tenant == tenant and one.key_name not in withdrawn)


def _admit(
    rows: Iterable[TrainingRow], settings: Settings, withdrawn: set[str], tally: Tally
) -> Iterator[TrainingRow]:
    for row in rows:
        if not _may_teach(settings, row):
            tally.drop("licence")
        elif row.key_name in withdrawn:
            tally.drop("consent")
        else:
            yield row


class _Reader:
    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._shape = Shape()

    def read(self, row: TrainingRow) -> Selected:
        body = row.request or {}
        if (shape := shape_of(body)) != self._shape:
            self._shape = shape  # equal ones are kept once
        return Selected(
            row=replace(
                row,
                request=None,
                input_text=self._redactor.text(row.input_text),
                teacher_answer=self._redactor.json(row.teacher_answer),
            ),
            shape=self._shape,
            profile=profile_of(body),
            request=write_request(body),
            source=source_of(row),
        )


def source_of(row: TrainingRow | Corrected) -> Source:
    """Where a row comes from."""
    user = find_user(row.request or {})
    return Source(id=row.id, key_name=row.key_name, user=user, created_at=row.created_at)


def write_request(body: object) -> str:
    """A request as text, without what names its user."""
    hidden = {path[0] for path in USER_FIELDS}
    kept = {k: v for k, v in body.items() if k not in hidden} if isinstance(body, dict) else {}
    return json.dumps(kept, separators=(",", ":"))


def _may_teach(settings: Settings, row: TrainingRow) -> bool:
    model = settings.models.get(row.teacher_model or "")
    return model is not None and model.distillation == "allowed"
