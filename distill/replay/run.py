"""Replay: a recorded stream through the code that serves traffic and the code that learns.

Prequential: a query is answered before anything is known about it, and its recorded answer
becomes known only if the teacher is asked. Instead of a clock there is the count of answers.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.cycle import Learner, run_cycle
from distill.replay.line import Line, line_of
from distill.replay.recorded import RecordedStudent, RecordedTeacher
from distill.replay.result import Claim
from distill.streams import StreamRow
from distill.trigger import count_needed
from distill.wording import count_of
from policies.promise.guarantee import GUARANTEED
from policies.promise.policy import PROOF
from policies.types import Tier
from router.auth import Caller
from router.deps import Deps, build_targets
from router.drafting import EmbeddedDrafter
from router.meter.metrics import Metrics
from router.meter.prices import TeacherCostEstimator, cost_of
from router.pipeline import run
from router.promise import PromiseKeeper
from router.record.model import Interaction, PromiseState
from router.record.redact import Redactor
from router.record.store import Store
from router.release import ActiveReleases
from router.settings.model import ModelSettings, PromiseSettings, Settings, WorkloadSettings
from router.students.encoder import Encoder
from router.wire.openai import ChatRequest, input_text, parse_chat
from router.workload import find_workload

STREAM_WORKLOAD = "stream"
"""The workload of rows that name none and that no configured pattern matches."""

_CALLER = Caller(key_name="replay", tenant="", train_on=True)
_UNDER_PROMISE = ("below_threshold", PROOF, "certified", GUARANTEED)
_PREFETCH = 256

Progress = Callable[[int, int, str], None]
"""Told (done, total, what)."""


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a replay saw: a line per query, what was claimed, and how many releases came."""

    lines: Sequence[Line]
    claims: Sequence[Claim]
    releases: int
    seconds: float


def settings_for(
    rows: Sequence[StreamRow], settings: Settings | None, promise: PromiseSettings | None
) -> Settings:
    """The configuration of a replay.

    ``settings``: a configuration file's, whose keys and server play no part; None: a teacher that
    may be learned from. ``promise``: replaces that of every workload, and is that of workloads
    which the configuration doesn't know.
    """
    base = settings or Settings(
        models={
            "teacher": ModelSettings(
                upstream="http://recorded.invalid/v1", model="recorded", distillation="allowed"
            )
        }
    )
    workloads = list(base.workloads)
    if promise is not None:
        change = {"promise": promise, "policy": "promise"}
        workloads = [workload.model_copy(update=change) for workload in workloads]
        unknown = {row.workload or STREAM_WORKLOAD for row in rows if not _is_known(base, row)}
        workloads += [WorkloadSettings(name=name, promise=promise) for name in sorted(unknown)]
    return base.model_copy(update={"workloads": tuple(workloads), "keys": ()})


def _is_known(settings: Settings, row: StreamRow) -> bool:
    named = row.workload if row.workload in {w.name for w in settings.workloads} else None
    return find_workload(settings, row.body, named, "")[1] is not None


class Replay:
    """One run over a stream; everything in it is drawn from ``seed``.

    ``recorded_student``: the stream's drafts are used, and only the gate over them is learned;
    ``encoder``: one that may know texts already, so that several runs needn't encode them again.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        seed: int,
        folder: Path,
        progress: Progress,
        recorded_student: bool,
        encoder: Encoder | None = None,
    ) -> None:
        self._settings = settings
        self._seed = seed
        self._progress = progress
        self._store = Store.open(":memory:")
        self._sink = _Collector(self._store)
        self._teacher = RecordedTeacher()
        self._student = RecordedStudent() if recorded_student else None
        self._encoder = Encoder(cache=1_000_000) if encoder is None else encoder
        self._redactor = Redactor(settings.data.redact)
        metrics = Metrics()
        self._deps = Deps(
            settings=settings,
            store=self._store,
            sink=self._sink,
            metrics=metrics,
            upstream=self._teacher,
            targets=build_targets(settings),
            teacher_costs=TeacherCostEstimator(),
            redactor=self._redactor,
            releases=ActiveReleases(self._store),
            promises=PromiseKeeper(self._store, metrics),
            drafter=self._student or EmbeddedDrafter(self._encoder, self._redactor),
            coin=random.Random(f"coin {seed}").random,
        )
        self._learner = Learner(
            settings=settings,
            store=self._store,
            encoder=self._encoder,
            redactor=self._redactor,
            folder=folder,
            seed=seed,
            drafts="embedded" if self._student is None else "given",
        )
        self._answers: dict[str, int] = {}
        self._learned_at: dict[str, int] = {}
        self._releases = 0

    async def run(self, rows: Sequence[StreamRow], warm_start: Sequence[StreamRow]) -> Replayed:
        """Answer ``rows`` in their order, after ``warm_start``'s answers were made known."""
        began_s = time.perf_counter()
        try:
            if self._student is None:
                self._encode_ahead([*warm_start, *rows])
            for row in warm_start:
                await self._ask(row, force=Tier.TEACHER)
            lines: list[Line] = []
            for i, row in enumerate(rows):
                record = await self._ask(row, force=None)
                release = self._deps.releases.get(record.workload)
                comparer = record.comparer if release is None else release.comparer
                lines.append(line_of(self._price(record, row), row, comparer))
                self._progress(i + 1, len(rows), count_of(self._releases, "release"))
        finally:
            self._deps.drafter.close()
            self._store.close()
        return Replayed(
            lines=lines,
            claims=claim(self._settings, lines),
            releases=self._releases,
            seconds=time.perf_counter() - began_s,
        )

    async def _ask(self, row: StreamRow, *, force: Tier | None) -> Interaction:
        self._teacher.row = row
        if self._student is not None:
            self._student.row = row
        delivery = await run(self._deps, self._request(row, force), _CALLER)
        await delivery.aclose()
        for task in list(self._deps.background):
            await task
        record = self._sink.last()
        if record.train_ok and record.teacher_answer is not None:
            self._count(record.workload)
        return record

    def _price(self, record: Interaction, row: StreamRow) -> Interaction:
        """The record with what asking the teacher costs, which the gateway can only estimate."""
        teacher = self._settings.teacher
        cost_usd = None if teacher is None else cost_of(row.teacher.usage, teacher.price)
        return replace(record, teacher_cost_usd=cost_usd, teacher_cost_estimated=False)

    def _request(self, row: StreamRow, force: Tier | None) -> ChatRequest:
        options: dict[str, Any] = {} if force is None else {"force": str(force)}
        named = {workload.name for workload in self._settings.workloads}
        if (row.workload or STREAM_WORKLOAD) in named:
            options["workload"] = row.workload or STREAM_WORKLOAD
        body = {**row.body, "model": "auto", "stream": False, "tutelage": options}
        return parse_chat(json.dumps(body).encode())

    def _count(self, workload: str) -> None:
        """One more answer is known; learn where that makes enough new ones."""
        self._answers[workload] = self._answers.get(workload, 0) + 1
        needed = count_needed(
            self._learned_at.get(workload, 0), self._settings.learning.min_new_answers
        )
        if self._answers[workload] < needed:
            return
        self._learned_at[workload] = self._answers[workload]
        self._sink.flush()
        outcome = run_cycle(self._learner, workload)
        if outcome.result == "promoted":
            self._releases += 1
            self._deps.releases.refresh()

    def _encode_ahead(self, rows: Sequence[StreamRow]) -> None:
        """Queries in batches are faster to encode than one by one; nothing of answers is used."""
        texts = [self._redactor.text(input_text(row.body)) for row in rows]
        for start in range(0, len(texts), _PREFETCH):
            self._encoder.encode(texts[start : start + _PREFETCH])
            self._progress(0, len(rows), f"encoding {start + _PREFETCH} of {len(texts)}")


class _Collector:
    """A sink that keeps the last record at hand and writes when it is told to."""

    dropped = 0

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Interaction] = []
        self._last: Interaction | None = None

    @property
    def lag(self) -> int:
        return len(self._waiting)

    def put(self, interaction: Interaction, promise_state: PromiseState | None = None) -> None:
        self._last = interaction
        self._waiting.append(interaction)

    def last(self) -> Interaction:
        if self._last is None:
            raise RuntimeError("nothing was recorded")
        return self._last

    def flush(self) -> None:
        self._store.append(self._waiting)
        self._waiting.clear()

    def drain(self, timeout_s: float) -> int:
        self.flush()
        return 0


def claim(settings: Settings, lines: Sequence[Line]) -> list[Claim]:
    """The promise over the whole run, once something could be served; otherwise nothing is claimed.

    Of several workloads each has its own promise, and nothing is claimed about their mixture.
    """
    names = {line.workload for line in lines}
    if len(names) != 1 or all(line.reason not in _UNDER_PROMISE for line in lines):
        return []
    promises = {workload.name: workload.promise for workload in settings.workloads}
    promise = promises.get(names.pop())
    if promise is None:
        return []
    return [
        Claim(
            at_least=promise.agreement,
            confidence=promise.confidence,
            over=promise.over,
            kind="guaranteed" if promise.guarantee else "exchangeable",
            start=0,
            end=len(lines),
        )
    ]


async def replay(
    rows: Sequence[StreamRow],
    settings: Settings,
    *,
    seed: int,
    warm_start: Sequence[StreamRow] = (),
    progress: Progress = lambda done, total, what: None,
    encoder: Encoder | None = None,
) -> Replayed:
    """Replay ``rows`` in the order given; releases are written to a folder that is gone after.

    ``encoder``: see ``Replay``.
    """
    with tempfile.TemporaryDirectory(prefix="tutelage-replay-") as folder:
        run_of = Replay(
            settings,
            seed=seed,
            folder=Path(folder),
            progress=progress,
            recorded_student=has_student([*warm_start, *rows]),
            encoder=encoder,
        )
        return await run_of.run(rows, warm_start)


def has_student(rows: Sequence[StreamRow]) -> bool:
    """Whether every row has a recorded draft, so that the recorded student can be replayed."""
    return all(row.student is not None for row in rows)


def order(rows: Sequence[StreamRow], *, seed: int, shuffle: bool) -> list[StreamRow]:
    """The rows as recorded, or shuffled by ``seed``."""
    ordered = list(rows)
    if shuffle:
        random.Random(seed).shuffle(ordered)
    return ordered
