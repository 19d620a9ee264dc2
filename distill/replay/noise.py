"""The noise in a recorded teacher's answers: over all rows that were replayed, asked or not.

It is measured when the run is over, and nothing hears of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from distill.dataset.merging import fold
from distill.noise import TeacherNoise, Told, combine, measure_noise
from distill.replay.line import find_right
from distill.streams import StreamRow
from policies.compare import get_comparer
from router.record.model import Interaction
from router.students.encoder import Encoder
from router.wire.openai import answer_from_json, shape_of


@dataclass(frozen=True, kw_only=True)
class _Seen:
    text: str
    told: Told


class RecordedNoise:
    """Hears of every row as it is answered."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Interaction, StreamRow]]] = defaultdict(list)
        self._comparers: dict[str, str] = {}

    def note(self, record: Interaction, row: StreamRow, comparer: str) -> None:
        """One more row; all of a workload are compared by the comparer that was noted last."""
        self._rows[record.workload].append((record, row))
        self._comparers[record.workload] = comparer

    def measure(self, encoder: Encoder) -> TeacherNoise:
        """Of all workloads together; like questions are sought within each."""
        return combine(self._measure(name, encoder) for name in self._rows)

    def _measure(self, workload: str, encoder: Encoder) -> TeacherNoise:
        asked: dict[str, list[_Seen]] = defaultdict(list)
        for record, row in self._rows[workload]:
            told = _read(record, row, self._comparers[workload])
            if told is not None:
                asked[fold(record.input_text)].append(_Seen(text=record.input_text, told=told))
        kept = [_settle(seen) for seen in asked.values()]
        outvoted = sum(
            one.told.said != chosen.told.said
            for seen, chosen in zip(asked.values(), kept, strict=True)
            for one in seen
        )
        vectors = encoder.encode([one.text for one in kept])
        return measure_noise(vectors, [one.told for one in kept], outvoted)


def _settle(seen: list[_Seen]) -> _Seen:
    """Of a question's answers the commonest, and of equally many the newest, as a dataset does."""
    votes = Counter(one.told.said for one in seen)
    most = max(votes.values())
    return next(one for one in reversed(seen) if votes[one.told.said] == most)


def _read(record: Interaction, row: StreamRow, name: str) -> Told | None:
    """None where the teacher's answer can't be compared."""
    comparer, shape = get_comparer(name), shape_of(row.body)
    said = comparer.key(row.teacher.answer, shape)
    if said is None:
        return None
    draft = None if record.draft is None else answer_from_json(record.draft)
    return Told(
        said=said,
        drafted=None if draft is None else comparer.key(draft, shape),
        right=find_right(row, name),
        refuted=row.teacher.correct is False,
    )
