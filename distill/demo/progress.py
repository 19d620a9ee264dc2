"""How the traffic goes, in the terminal: one line that changes, or a plain one every 10 %."""

from __future__ import annotations

import shutil
import sys
from collections import deque
from collections.abc import Sequence
from decimal import Decimal

from distill.demo.traffic import Received
from distill.streams import StreamRow
from distill.wording import count_of
from policies.compare import choose_comparer, get_comparer
from policies.types import Tier
from router.meter.money import show_usd
from router.wire.openai import shape_of

_RECENT = 200
_STEPS = 10


class Progress:
    """Figures as the client can tell them; the report at the end reads the records."""

    def __init__(self, rows: Sequence[StreamRow]) -> None:
        self._rows = rows
        self._done = 0
        self._agreed = 0
        self._failed = 0
        self._asked: deque[bool] = deque(maxlen=_RECENT)
        self._costs: deque[Decimal] = deque(maxlen=_RECENT)
        self._releases: set[str] = set()
        self._on_terminal = sys.stderr.isatty()

    def tell(self, one: Received) -> None:
        """Take in one more answer, and show where things stand."""
        self._done += 1
        self._failed += one.error is not None
        self._agreed += self._agrees(one)
        self._asked.append(one.tier == Tier.TEACHER)
        if one.cost_usd is not None:
            self._costs.append(one.cost_usd)
        if one.release is not None:
            self._releases.add(one.release)
        total = len(self._rows)
        if self._on_terminal:
            # A line that wraps couldn't be written over.
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{self.line()[:width]:<{width}}", end="", file=sys.stderr, flush=True)
            if self._done == total:
                print(file=sys.stderr)
        elif self._done * _STEPS // total > (self._done - 1) * _STEPS // total:
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """Where things stand: lately is the last 200 answers."""
        total = len(self._rows)
        done = f"{self._done:,} of {total:,}".rjust(len(f"{total:,}") * 2 + 4)
        lately = f"lately asked {sum(self._asked) / len(self._asked):4.0%}"
        if self._costs:
            mean = sum(self._costs, Decimal(0)) / len(self._costs)
            lately += f", {show_usd(mean)} each"
        whole = f"since the start agreement {self._agreed / self._done:6.1%}"
        whole += f", {count_of(len(self._releases), 'release')}"
        if self._failed:
            whole += f", {self._failed} failed"
        return f"{done}  {lately} · {whole}"

    def _agrees(self, one: Received) -> bool:
        if one.answer is None or one.tier == Tier.TEACHER:
            return one.answer is not None
        row = self._rows[one.i]
        shape = shape_of(row.body)
        comparer = get_comparer(choose_comparer(shape, [row.teacher.answer]))
        return comparer.agrees(row.teacher.answer, one.answer, shape)
