"""Replay: a recorded stream through the code that serves traffic and the code that learns.

Prequential: a query is answered before anything is known about it, and its recorded answer
becomes known only if the teacher is asked. Instead of a clock there is the count of answers.
"""

from __future__ import annotations

import json
import math
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from distill.cycle import run_cycle
from distill.dataset.memory import RowMemory
from distill.drift import Drift, locate
from distill.learner import HeldOut, Learner
from distill.noise import TeacherNoise
from distill.replay.knowledge import DelayedPromises, DelayedRecall, DelayedRecords
from distill.replay.line import Line, line_of
from distill.replay.noise import RecordedNoise
from distill.replay.recorded import RecordedStudent, RecordedTeacher, has_student
from distill.replay.result import Claim
from distill.replay.spending import RecordedCosts, claim_proven
from distill.replay.terms import STREAM_WORKLOAD, claim, observe_only, terms_of
from distill.streams import StreamRow
from distill.train.tuned import Tuner
from distill.trigger import count_needed
from distill.wording import count_of
from policies.promise.batch import Proven, certify_batch
from policies.promise.drift import Alarm
from policies.types import Tier
from router.auth import Caller
from router.deciding.plugins import load_policies
from router.deciding.promise import PromiseKeeper
from router.deciding.slices import find_slices
from router.deps import Deps, build_targets
from router.drafting import EmbeddedDrafter
from router.meter.metrics import Metrics
from router.meter.prices import TeacherCostEstimator, cost_of
from router.pipeline import run
from router.record.model import Interaction
from router.record.redact import Redactor
from router.record.store import Store
from router.release import ActiveReleases
from router.settings.model import Settings
from router.students.encoder import Encoder
from router.wire.openai import ChatRequest, input_text, parse_chat
from router.workload import find_settings

_CALLER = Caller(key_name="replay", tenant="", train_on=True)
_PREFETCH = 256
_MOST_QUESTIONS = 12_000
"""A replay waits for its training, so it learns from more than a cycle beside a gateway would."""

Progress = Callable[[int, int, str], None]
"""Told (done, total, what)."""


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a replay saw: a line per query, what was claimed, and how many releases came.

    ``notes``: sentences about what could not be learned; ``measure_noise``: in the teacher's
    answers, which takes a second for 3,000 of them; None where the drafts were recorded: then
    nothing encodes questions.
    """

    lines: Sequence[Line]
    claims: Sequence[Claim]
    releases: int
    seconds: float
    notes: Sequence[str] = ()
    measure_noise: Callable[[], TeacherNoise] | None = None


class Replay:
    """One run over a stream; everything in it is drawn from ``seed``.

    ``recorded_student``: the stream's drafts are used, and only the gate over them is learned.
    ``store_url``: where it is recorded; a release in force there is taken up. ``folder``: where
    releases are written; ``encoder``: one that may know
    texts already, so that several runs needn't encode them again; ``tuner``: tunes an encoder on
    what is fitted on.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        seed: int,
        folder: Path,
        progress: Progress,
        recorded_student: bool,
        label_delay: int = 0,
        store_url: str = ":memory:",
        encoder: Encoder | None = None,
        tuner: Tuner | None = None,
    ) -> None:
        self._settings = settings
        self._seed = seed
        self._progress = progress
        self._store = Store.open(store_url)
        self._sink = DelayedRecords(self._store, label_delay)
        self._teacher = RecordedTeacher()
        self._student = RecordedStudent() if recorded_student else None
        self._encoder = Encoder(cache=1_000_000) if encoder is None else encoder
        self._redactor = Redactor(settings.data.redact)
        metrics = Metrics()
        self._promises = DelayedPromises(self._store, metrics, settings, label_delay)
        self._proven: dict[str, dict[str, Proven]] = {}
        self._budgets = RecordedCosts(self._store, metrics)
        targets = build_targets(settings)
        self._recall = DelayedRecall(self._store, settings, targets, label_delay)
        self._deps = Deps(
            settings=settings,
            store=self._store,
            sink=self._sink,
            metrics=metrics,
            upstream=self._teacher,
            targets=targets,
            teacher_costs=TeacherCostEstimator(),
            redactor=self._redactor,
            releases=ActiveReleases(self._store),
            promises=self._promises,
            budgets=self._budgets,
            drafter=self._student or EmbeddedDrafter(self._encoder, self._redactor, threaded=False),
            recall=self._recall,
            coin=random.Random(f"coin {seed}").random,
            proven=self._proven,
            plugins=load_policies(settings),
        )
        self._learner = self._hire(folder, tuner)
        self._learning = True
        self._fitted: set[str] = set()
        self._answers: dict[str, int] = {}
        self._learned_at: dict[str, int] = {}
        self._alarms: dict[str, Alarm] = {}
        self._changed_at: dict[str, int] = {}
        self._releases = 0

    def _hire(self, folder: Path, tuner: Tuner | None) -> Learner:
        return Learner(
            settings=self._settings,
            store=self._store,
            encoder=self._encoder,
            redactor=self._redactor,
            folder=folder,
            seed=self._seed,
            drafts="embedded" if self._student is None else "given",
            most_questions=_MOST_QUESTIONS,
            find_drift=self._find_drift,
            live=False,
            memory=RowMemory(),
            tuner=tuner,
        )

    async def run(
        self,
        rows: Sequence[StreamRow],
        *,
        warm_start: Sequence[StreamRow] = (),
        fit: Sequence[StreamRow] = (),
    ) -> Replayed:
        """Answer ``rows`` in their order, after ``warm_start``'s answers were made known.

        With ``fit``, everything is learned from those rows first, and nothing afterwards.
        """
        began_s = time.perf_counter()
        notes: list[str] = []
        try:
            self._deps.releases.refresh()
            if self._student is None:
                self._encode_ahead([*warm_start, *fit, *rows])
            for row in warm_start:
                await self._ask(self._deps, row, force=Tier.TEACHER)
                self._reveal(everything=True)
            if fit:
                notes = await self._fit(fit)
            lines: list[Line] = []
            noise = RecordedNoise()
            for i, row in enumerate(rows):
                pools = self._promises.pools.feeding()
                record = await self._ask(self._deps, row, force=None)
                self._reveal()
                release = self._deps.releases.get(record.workload)
                comparer = record.comparer if release is None else release.comparer
                judged = row if self._student is not None else replace(row, student=None)
                inside = self._find_slices(record.workload, row)
                lines.append(line_of(self._price(record, row), judged, comparer, inside, pools))
                noise.note(record, row, comparer)
                self._progress(i + 1, len(rows), count_of(self._releases, "release"))
            self._sink.flush()
        finally:
            self._deps.drafter.close()
            self._store.close()
        claims = claim(self._settings, lines, self._promises.pools)
        claims += claim_proven(self._budgets, lines)
        if fit:
            notes += self._name_unfitted(lines)
        return Replayed(
            lines=lines,
            claims=claims,
            releases=self._releases,
            seconds=time.perf_counter() - began_s,
            notes=notes,
            measure_noise=partial(noise.measure, self._encoder) if self._student is None else None,
        )

    async def _fit(self, rows: Sequence[StreamRow]) -> list[str]:
        """Learn student, gate and threshold from rows whose answers are all known; then stop.

        Returns what stood in the way, a sentence for each workload that has nothing to serve.
        """
        self._learning = False
        asking = replace(
            self._deps,
            settings=observe_only(self._settings),
            promises=PromiseKeeper(self._store, Metrics()),
        )
        slices: dict[str, dict[str, Sequence[str]]] = {}
        for i, row in enumerate(rows):
            record = await self._ask(asking, row, force=None)
            of_row = self._find_slices(record.workload, row)
            slices.setdefault(record.workload, {})[record.id] = of_row
            self._progress(i + 1, len(rows), "reading what to learn from")
        self._reveal(everything=True)
        self._sink.flush()
        self._fitted = set(slices)
        notes = []
        for workload in sorted(slices):
            self._progress(len(rows), len(rows), f"learning {workload}")
            outcome = run_cycle(self._learner, workload)
            if outcome.result != "promoted" or outcome.held_out is None:
                notes.append(f"Nothing is served: {outcome.sentence}")
                continue
            self._releases += 1
            notes += self._prove(workload, outcome.held_out, slices[workload])
        self._deps.releases.refresh()
        return notes

    def _prove(
        self, workload: str, held_out: HeldOut, slices: Mapping[str, Sequence[str]]
    ) -> list[str]:
        """Thresholds of the workload and its slices; a sentence for each that has none.

        ``slices``: by the interaction's id.
        """
        notes = []
        for name, terms in terms_of(self._settings, workload).items():
            inside = np.asarray([not name or name in slices[one] for one in held_out.ids])
            proven = certify_batch(held_out.scores[inside], held_out.wrong[inside], terms)
            self._proven.setdefault(workload, {})[name] = proven
            if math.isinf(proven.threshold):
                what = f"slice {name} of {workload}" if name else workload
                notes.append(
                    f"Nothing is served: the {proven.rows} questions of {what} prove no "
                    "threshold; promise less, or fit on more."
                )
        return notes

    def _find_slices(self, workload: str, row: StreamRow) -> list[str]:
        configured = find_settings(self._settings, workload)
        return [one.name for one in find_slices(configured, row.body, _CALLER)]

    def _name_unfitted(self, lines: Sequence[Line]) -> list[str]:
        """A sentence for each workload that the rows to fit on had nothing of."""
        names = sorted({line.workload for line in lines} - self._fitted)
        return [
            f"Nothing is served of {name}: the --fit stream has no row of it." for name in names
        ]

    async def _ask(self, deps: Deps, row: StreamRow, *, force: Tier | None) -> Interaction:
        self._teacher.row = self._budgets.row = row
        if self._student is not None:
            self._student.row = row
        delivery = await run(deps, self._request(row, force), _CALLER)
        await delivery.aclose()
        for task in list(deps.background):
            await task
        return self._sink.last()

    def _reveal(self, *, everything: bool = False) -> None:
        """One more query has been answered; learn where enough new answers are known by that."""
        self._promises.reveal(everything=everything)
        self._recall.reveal(everything=everything)
        for record in self._sink.reveal(everything=everything):
            if self._learning and record.train_ok and record.teacher_answer is not None:
                self._count(record.workload)
            if self._learning and self._settings.learning.on_drift:
                self._notice(record.workload)

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
        changed_at = self._changed_at.get(workload)
        needed = count_needed(
            self._learned_at.get(workload, 0),
            self._settings.learning.min_new_answers,
            None if changed_at is None else self._answers[workload] - changed_at,
        )
        if self._answers[workload] >= needed:
            self._learn(workload)

    def _notice(self, workload: str) -> None:
        """Learn at once where an alarm has fallen, if there is a release to replace."""
        alarm = self._promises.last_alarm(workload)
        if alarm is None or alarm == self._alarms.get(workload):
            return
        self._alarms[workload] = alarm
        self._sink.flush()
        changed = self._find_drift(self._store, workload).changed_seq
        if changed is not None:
            since = self._store.count_answers_after(workload, changed)
            self._changed_at[workload] = self._answers[workload] - since
        if workload in self._learned_at:
            self._learn(workload)

    def _learn(self, workload: str) -> None:
        self._learned_at[workload] = self._answers[workload]
        self._sink.flush()
        outcome = run_cycle(self._learner, workload)
        if outcome.result == "promoted":
            self._releases += 1
            self._deps.releases.refresh()

    def _find_drift(self, store: Store, workload: str) -> Drift:
        """By the accounts as they are: their states aren't stored."""
        watch = self._promises.watch(workload)
        return Drift() if watch is None else locate(store, workload, watch.state())

    def _encode_ahead(self, rows: Sequence[StreamRow]) -> None:
        """Queries in batches are faster to encode than one by one; nothing of answers is used."""
        texts = [self._redactor.text(input_text(row.body)) for row in rows]
        for start in range(0, len(texts), _PREFETCH):
            self._encoder.encode(texts[start : start + _PREFETCH])
            self._progress(0, len(rows), f"encoding {start + _PREFETCH} of {len(texts)}")


async def replay(
    rows: Sequence[StreamRow],
    settings: Settings,
    *,
    seed: int,
    warm_start: Sequence[StreamRow] = (),
    fit: Sequence[StreamRow] = (),
    label_delay: int = 0,
    progress: Progress = lambda done, total, what: None,
    encoder: Encoder | None = None,
    tuner: Tuner | None = None,
) -> Replayed:
    """Replay ``rows`` in the order given; releases are written to a folder that is gone after.

    ``label_delay``: an answer of the teacher's is known to nothing that learns or proves before
    that many more queries have been answered.
    ``encoder``, ``tuner``: see ``Replay``.
    """
    with tempfile.TemporaryDirectory(prefix="tutelage-replay-") as folder:
        run_of = Replay(
            settings,
            seed=seed,
            folder=Path(folder),
            progress=progress,
            recorded_student=has_student([*warm_start, *fit, *rows]),
            encoder=encoder,
            label_delay=label_delay,
            tuner=tuner,
        )
        return await run_of.run(rows, warm_start=warm_start, fit=fit)


def order(rows: Sequence[StreamRow], *, seed: int, shuffle: bool) -> list[StreamRow]:
    """The rows as recorded, or shuffled by ``seed``."""
    ordered = list(rows)
    if shuffle:
        random.Random(seed).shuffle(ordered)
    return ordered
