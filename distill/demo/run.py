"""The demo from top to bottom: teacher, gateway and learner as processes, traffic, report."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import yaml

from distill.demo.lull import Lull
from distill.demo.processes import TUTELAGE, Child, Children
from distill.demo.progress import Progress
from distill.demo.report import Evidence, build_lines, compose_result, read_records, write_table
from distill.demo.shop import PRICE, WORKLOAD, read_shop
from distill.demo.traffic import Pace, Received, send_all
from distill.replay.run import order
from distill.replay.terms import STREAM_WORKLOAD, settings_for
from distill.streams import StreamRow, read_stream
from distill.wording import count_of
from router.errors import ConfigError
from router.meter.money import usd
from router.record.store import Store
from router.settings.model import (
    ModelSettings,
    Price,
    PromiseSettings,
    ServerSettings,
    Settings,
    WorkloadSettings,
)
from router.settings.storage import StoreSettings
from router.workload import find_workload

PROMISE = 0.95
_LOOK_EVERY_S = "0.2"
_POLL_S = 0.1
_PATIENCE_S = 30.0
_BUSY = 0.5
"""Share of the open requests that may wait for the teacher, were it asked every time."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to show. ``stream``: None for the built-in one; ``port``: 0 for a free one."""

    stream: Path | None
    settings: Settings | None
    promise: float | None
    limit: int | None
    seed: int
    pace: Pace
    port: int


@dataclass(frozen=True, kw_only=True)
class Demonstrated:
    """How it went: the result as JSON, and as a table."""

    result: dict[str, Any]
    table: str

    @property
    def succeeded(self) -> bool:
        """Nothing failed and no promise was broken."""
        return not self.result["failed"] and self.result["promise_held"] is not False


def read_rows(plan: Plan) -> list[StreamRow]:
    """The queries in the order of the traffic.

    The built-in stream keeps its own order, because it has a story; others are shuffled.
    """
    if plan.stream is None:
        return read_shop(plan.limit)
    return order(read_stream(plan.stream), seed=plan.seed, shuffle=True)[: plan.limit]


def demonstrate(
    plan: Plan,
    rows: Sequence[StreamRow],
    folder: Path,
    *,
    say: Callable[[str], None],
    afterwards: Callable[[Demonstrated], None],
) -> None:
    """Run it. ``afterwards`` is called while the gateway still serves the dashboard.

    ``folder``: for everything that is written, logs included. Raises TutelageError.
    """
    with Children(folder) as children:
        shown = asyncio.run(_run(plan, rows, folder, children, say))
        afterwards(shown)


async def _run(
    plan: Plan,
    rows: Sequence[StreamRow],
    folder: Path,
    children: Children,
    say: Callable[[str], None],
) -> Demonstrated:
    # 1. The teacher, then the gateway before it and the learner beside it.
    scale = choose_scale(rows, plan.pace)
    source = [] if plan.stream is None else ["--stream", str(plan.stream.resolve())]
    teacher = children.start(
        "teacher", sys.executable, "-m", "distill.demo.teacher", *source, "--scale", f"{scale}"
    )
    settings = choose_settings(plan, rows, folder, await teacher.address())
    config = write_config(settings, folder)
    gateway = children.start("gateway", *TUTELAGE, "serve", "--config", config)
    base_url = await gateway.address()
    await _await_ready(base_url, gateway)
    learner = children.start(
        "learner", *TUTELAGE, "distill", "watch", "--config", config, "--look-every", _LOOK_EVERY_S
    )
    say(f"Dashboard: {base_url}/ui")
    # 2. Traffic.
    store = Store.open(settings.store.url)
    try:
        began_at, began_s = time.time(), time.perf_counter()
        received = await _send(plan, rows, settings, base_url, children, store)
        seconds = time.perf_counter() - began_s
        children.end(learner)  # what it would still promote, no traffic would see
        # 3. Report.
        evidence = Evidence(
            stream=WORKLOAD if plan.stream is None else plan.stream.name,
            seed=plan.seed,
            settings=settings,
            rows=rows,
            received=received,
            began_at=began_at,
            seconds=seconds,
            dashboard=f"{base_url}/ui",
        )
        lines = build_lines(evidence, await read_records(store, received))
        result = compose_result(evidence, lines, store)
    finally:
        store.close()
    return Demonstrated(result=result, table=write_table(result, lines))


async def _await_ready(base_url: str, gateway: Child) -> None:
    """Raises DemoError where the gateway ends instead."""
    # A proxy that the environment names is for the world outside, not for this machine.
    async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE_S) as http:
        while True:
            gateway.check()
            with suppress(httpx.TransportError):
                if (await http.get(f"{base_url}/health/ready")).is_success:
                    return
            await asyncio.sleep(_POLL_S)


async def _send(
    plan: Plan,
    rows: Sequence[StreamRow],
    settings: Settings,
    base_url: str,
    children: Children,
    store: Store,
) -> list[Received]:
    """All the traffic, slower while the learner works; progress is shown, children are watched."""
    progress, lull = Progress(rows), Lull(store, settings)

    def tell(one: Received) -> None:
        progress.tell(one)
        children.check()

    following = asyncio.create_task(lull.follow())
    try:
        return await send_all(
            base_url,
            rows,
            named={workload.name for workload in settings.workloads},
            pace=plan.pace,
            is_slow=lambda: lull.now,
            tell=tell,
        )
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def choose_scale(rows: Sequence[StreamRow], pace: Pace) -> float:
    """How many times its recorded latency an answer takes, so that the pace can be kept."""
    latencies_s = [(row.teacher.latency_ms or 0.0) / 1000 for row in rows]
    mean_s = sum(latencies_s) / len(latencies_s)
    most_s = _BUSY * pace.concurrency / pace.rate
    return 1.0 if mean_s <= most_s else round(most_s / mean_s, 3)


def choose_settings(
    plan: Plan, rows: Sequence[StreamRow], folder: Path, teacher_url: str
) -> Settings:
    """The given configuration, or the default one, around the demo's own teacher and store.

    As in a replay keys play no part and the schedule neither: what takes days passes in minutes.
    Workloads of the stream that the configuration doesn't know are promised ``PROMISE``.
    """
    given = None if plan.promise is None else PromiseSettings(agreement=plan.promise)
    base = settings_for(rows, plan.settings, given)
    teacher = base.teacher
    if teacher is None:
        raise ConfigError("The configuration has no teacher: give it a model with an upstream.")
    own: dict[str, ModelSettings] = {
        key: model for key, model in base.models.items() if model.kind == "embedded"
    }
    own["teacher"] = teacher.model_copy(
        update={
            "upstream": f"{teacher_url}/v1",
            "api_key_env": None,
            "fallbacks": (),
            "price": teacher.price or recorded_price(plan, rows),
        }
    )
    unknown = {row.workload or STREAM_WORKLOAD for row in rows if not _is_known(base, row)}
    promise = PromiseSettings(agreement=PROMISE)
    more = [WorkloadSettings(name=name, promise=promise) for name in sorted(unknown)]
    return base.model_copy(
        update={
            "server": ServerSettings(port=plan.port),
            "store": StoreSettings(url=f"sqlite:///{(folder / 'demo.db').as_posix()}"),
            "models": own,
            "workloads": (*base.workloads, *more),
            "learning": base.learning.model_copy(update={"every": 0.0}),
        }
    )


def _is_known(settings: Settings, row: StreamRow) -> bool:
    names = {workload.name for workload in settings.workloads}
    named = row.workload if row.workload in names else None
    return find_workload(settings, row.body, named, "")[1] is not None


def recorded_price(plan: Plan, rows: Sequence[StreamRow]) -> Price | None:
    """What the stream itself knows: its mean cost per answer; None where it knows none."""
    if plan.stream is None:
        return PRICE
    costs = [row.teacher.cost_usd for row in rows if row.teacher.cost_usd is not None]
    if len(costs) < len(rows):
        return None
    return Price(usd_per_request=usd(sum(costs, Decimal(0)) / len(costs)))


def write_config(settings: Settings, folder: Path) -> Path:
    """The configuration as a file, with what differs from the defaults."""
    document = settings.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    path = folder / "tutelage.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), "utf-8")
    return path


def describe(plan: Plan, rows: Sequence[StreamRow]) -> list[str]:
    """What is about to be shown, and what is not real about it; a sentence each."""
    scale = choose_scale(rows, plan.pace)
    if plan.stream is None:
        told = [
            f"{count_of(len(rows), 'message')} to an online shop ({WORKLOAD}), sorted by a large "
            "teacher or by the student that learns from it.",
            "This teacher was written for the demonstration: it shows how the system works, not "
            "how well.",
        ]
    else:
        count = count_of(len(rows), "query", "queries")
        told = [f"{count} of {plan.stream.name}, answered as recorded."]
    if any(row.teacher.usage is None for row in rows):
        told.append("The stream has no token counts: they are estimated, four characters a token.")
    if not any(row.teacher.latency_ms for row in rows):
        told.append("The stream has no latencies: the teacher answers at once.")
    elif scale < 1:
        told.append(f"The stand-in teacher answers in {scale:.0%} of its recorded time.")
    told.append("While the student learns, the traffic slows down.")
    model = None if plan.settings is None else plan.settings.teacher
    if model is not None and model.distillation != "allowed":
        told.append(
            "NOTHING WILL BE LEARNED: the configuration's teacher has no distillation: allowed."
        )
    return told
