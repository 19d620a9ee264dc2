"""Training rows that were read before, for a learner that goes through many cycles.

What is stored of an interaction never changes; it can only be erased. So each cycle asks which rows
there are, and reads only those that are new.
"""

from __future__ import annotations

from collections.abc import Callable

from distill.dataset.selection import Selected
from router.record.model import TrainingRow
from router.record.store import Store


class RowMemory:
    """Rows by their seq, and what was selected of each; of one store, settings and redactor."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[int, TrainingRow]] = {}
        self._selected: dict[int, tuple[TrainingRow, Selected]] = {}

    def read(self, store: Store, workload: str) -> list[TrainingRow]:
        """The store's ``training_rows`` of a workload; what was erased is forgotten."""
        known = self._rows.get(workload, {})
        seqs = store.training_seqs(workload)
        newest = max(known, default=0)
        known |= {row.seq: row for row in store.training_rows(workload, after_seq=newest)}
        for erased in known.keys() - set(seqs):
            self._selected.pop(erased, None)
        self._rows[workload] = {seq: known[seq] for seq in seqs}
        return list(self._rows[workload].values())

    def select(self, row: TrainingRow, read: Callable[[TrainingRow], Selected]) -> Selected:
        """What ``read`` makes of a row, made once."""
        found = self._selected.get(row.seq)
        if found is None or found[0] is not row:
            found = row, read(row)
            self._selected[row.seq] = found
        return found[1]
