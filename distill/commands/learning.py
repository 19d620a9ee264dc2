"""``tutelage distill run | watch | status``, and where the rest of ``distill`` is added."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from argparse import ArgumentTypeError, Namespace
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from threadpoolctl import threadpool_limits

from distill.commands.common import (
    NoStoreYet,
    Workplace,
    add_json,
    add_own_config,
    describe_time,
    open_workplace,
    read_seed,
    read_settings,
    store_exists,
)
from distill.commands.dataset import add_dataset
from distill.commands.next import add_next
from distill.commands.train import add_train
from distill.cycle import run_cycle
from distill.dataset.folder import DatasetError
from distill.learner import Outcome, load_active
from distill.noise import write_noise
from distill.watch import SWEEP_EVERY_S, run_due, survey, sweep
from distill.wording import count_of
from router.deciding.outlook import Outlook, look_ahead
from router.deciding.pools import PoolStanding
from router.deciding.promise import PromiseKeeper, proven_share
from router.errors import ReleaseError, StoreError
from router.meter.metrics import Metrics
from router.meter.money import usd
from router.settings.model import Settings
from router.workload import find_settings

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_LOOK_EVERY_S = 2.0
_LONGEST_PAUSE_S = 86_400.0
_RESULTS_OK = ("promoted", "on_trial", "rejected", "too_few", "open_ended")


def register(commands: _SubParsersAction[Any]) -> None:
    """Add ``distill`` to the commands."""
    parser = commands.add_parser(
        "distill", help="learning: run, train, watch, status, next, dataset"
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    once = actions.add_parser(
        "run",
        help="one learning cycle now",
        epilog="example: tutelage distill run --config tutelage.yaml --workload support-intent",
    )
    once.add_argument("--workload", metavar="W", help="only this one; else all with answers")
    once.add_argument("--seed", type=read_seed, default=0, help="of all random choices (0)")
    once.set_defaults(run=_run)
    watch = actions.add_parser(
        "watch",
        help="the periodic loop beside the gateway",
        epilog="example: tutelage distill watch --config tutelage.yaml",
    )
    watch.add_argument(
        "--look-every",
        type=_read_seconds,
        default=_LOOK_EVERY_S,
        metavar="SECONDS",
        help=f"pause between two looks at the store ({_LOOK_EVERY_S:g})",
    )
    watch.add_argument("--seed", type=read_seed, default=0, help="of all random choices (0)")
    watch.set_defaults(run=_watch)
    status = actions.add_parser(
        "status",
        help="what was learned, and what the next cycle waits for",
        epilog="example: tutelage distill status --config tutelage.yaml",
    )
    status.set_defaults(run=_status)
    for action in (once, watch, status):
        add_own_config(action)
        add_json(action)
    add_train(actions)
    add_next(actions)
    add_dataset(actions)


def _read_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_PAUSE_S:
        raise ArgumentTypeError(f"{text!r} must be seconds, above 0 and at most a day")
    return seconds


def _run(args: Namespace) -> int:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with open_workplace(args.config) as place:
        _warn(place.settings, sys.stderr)
        known = sorted(place.store.answers_by_workload())
        wanted = known if args.workload is None else [args.workload]
        if args.workload is not None and args.workload not in known:
            listed = ", ".join(known) or "none"
            raise StoreError(
                f"Workload {args.workload!r} has no answers to learn from; there are: {listed}."
            )
        if not wanted:
            raise StoreError("There are no answers to learn from yet.")
        learner = replace(place.learner(args.seed), ended=ended.is_set)
        outcomes = []
        for workload in wanted:
            outcomes.append(run_cycle(learner, workload))
            _tell(outcomes[-1], as_json=args.json)
    return 0 if all(outcome.result in _RESULTS_OK for outcome in outcomes) else 1


def _watch(args: Namespace) -> int:
    """Until SIGTERM or Ctrl-C. A cycle that runs is finished first; where students that write are
    trained, it ends, and the next one goes on where it was."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if hasattr(os, "nice"):
        os.nice(10)  # training must not take the gateway's time
    settings = read_settings(args.config)
    print(f"Watching {settings.store.shown} for answers.", file=sys.stderr, flush=True)
    if not store_exists(settings):
        print("It isn't there yet: start the gateway.", file=sys.stderr, flush=True)
    while not ended.is_set() and not _store_exists(args.config):
        ended.wait(args.look_every)
    if ended.is_set():
        return 0
    # One thread leaves the other cores to the gateway. BLAS made its own before the process
    # became nice, and on Linux they are not.
    with threadpool_limits(1), open_workplace(args.config) as place:
        _warn(place.settings, sys.stderr)
        learner = place.learner(args.seed, threads=1)
        if place.settings.learning.train is not None:
            # It may take hours, and goes on from its last checkpoint.
            learner = replace(learner, ended=ended.is_set)
        trouble, sweep_at = "", 0.0
        while not ended.wait(args.look_every):
            try:
                if time.time() >= sweep_at:
                    sweep_at = time.time() + SWEEP_EVERY_S
                    sweep(learner, time.time())
                for outcome in run_due(learner, time.time()):
                    _tell(outcome, as_json=args.json)
                    if ended.is_set():
                        break
                trouble = ""
            except (StoreError, DatasetError) as error:  # it may be locked: the loop goes on
                if str(error) != trouble:
                    trouble = str(error)
                    print(f"tutelage: {trouble}", file=sys.stderr, flush=True)
    return 0


def _store_exists(config: Path | None) -> bool:
    try:
        with open_workplace(config):
            return True
    except NoStoreYet:
        return False


def _status(args: Namespace) -> int:
    with open_workplace(args.config) as place:
        now = time.time()
        reports: list[dict[str, Any]] = []
        active = place.store.active_releases()
        for standing in survey(place.store, place.settings):
            cycles = place.store.cycles(1, standing.workload)
            last = asdict(cycles[0]) if cycles else None
            due = standing.is_due(now)
            reports.append(
                asdict(standing)
                | {"due": due, "release": active.get(standing.workload), "last_cycle": last}
                | _look_ahead(place, standing.workload)
            )
        if args.json:
            problems = _find_obstacles(place.settings)
            print(json.dumps({"workloads": reports, "problems": problems}, indent=2))
            return 0
        _warn(place.settings, sys.stdout)
        if not reports:
            print("No answers to learn from yet.")
        for report in reports:
            print(_write_status(report))
    return 0


def _look_ahead(place: Workplace, workload: str) -> dict[str, Any]:
    """``outlook``: how far the workload's promise is from serving; None where it promises nothing.
    ``slices``: the same of each of its slices, with what is proven of it. ``pool``: how it stands
    in one, None where it is in none."""
    configured = find_settings(place.settings, workload)
    if configured is None or configured.promise is None:
        return {"outlook": None, "slices": [], "pool": None}
    if configured.effective_policy != "promise":
        return {"outlook": None, "slices": [], "pool": None}
    promises = PromiseKeeper(place.store, Metrics(), place.settings, begins=False)
    account = promises.account(workload, configured.promise, configured.slices)
    pool = promises.pools.read(workload)
    shared = None if pool is None else asdict(pool)
    total_usd, answers = place.store.teacher_costs().get(workload, (Decimal(0), 0))
    cost = usd(total_usd / answers) if answers else None
    try:
        release = load_active(place.store, workload)
    except ReleaseError as error:
        damaged = Outlook(kind="unknown", cause="release_damaged", sentence=str(error))
        return {"outlook": asdict(damaged), "slices": [], "pool": shared}
    slices = [
        {
            "slice": name,
            "agreement": one.terms.at_least,
            "confidence": one.terms.confidence,
            "interactions": one.trials,
            "proven_agreement": proven_share(one),
            "outlook": asdict(look_ahead(place.store, workload, one, release, cost, name)),
        }
        for name, one in promises.slices(workload).items()
    ]
    outlook = asdict(look_ahead(place.store, workload, account, release, cost))
    return {"outlook": outlook, "slices": slices, "pool": shared}


def _write_status(report: dict[str, Any]) -> str:
    last = report["last_cycle"]
    lines = [
        f"{report['workload']}: {count_of(report['answers'], 'answer')}; the next cycle "
        + ("is due" if report["due"] else f"starts at {report['needed']}"),
        f"  release in force: {report['release'] or 'none'}",
    ]
    if report["outlook"] is not None:
        lines.append(f"  promise: {report['outlook']['sentence']}")
    if report["pool"] is not None:
        lines.append(f"  {PoolStanding(**report['pool']).words}")
    for one in report["slices"]:
        count = count_of(one["interactions"], "interaction")
        lines.append(f"  slice {one['slice']}: {one['outlook']['sentence']} ({count})")
    if last is not None:
        told = last["detail"].get("sentence") or last["detail"].get("error") or ""
        ended = describe_time(last["ended_at"])
        lines.append(f"  last cycle: {last['outcome'] or 'running'}, {ended}. {told}".rstrip())
        lines += [
            f"    {rung['name'].replace('_', ' ')}: {rung['verdict']}. {rung['sentence']}"
            for rung in last["detail"].get("rungs", [])
        ]
        if "teacher_noise" in last["detail"]:
            lines.append(f"    the teacher: {write_noise(last['detail']['teacher_noise'])}")
    return "\n".join(lines)


def _find_obstacles(settings: Settings) -> list[str]:
    """Why nothing would be learned, whatever comes in."""
    found = []
    if not any(model.distillation == "allowed" for model in settings.models.values()):
        found.append(
            "NOTHING IS LEARNED: no model has distillation: allowed; "
            "set it where the model's terms allow that."
        )
    if settings.keys and not any(key.train_on for key in settings.keys):
        found.append("NOTHING IS LEARNED: no key has train_on: true.")
    return found


def _warn(settings: Settings, stream: TextIO) -> None:
    for sentence in _find_obstacles(settings):
        print(sentence, file=stream, flush=True)


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    if not as_json:
        print(f"{outcome.result.replace('_', ' ')}: {outcome.sentence}", flush=True)
        return
    report = {
        "workload": outcome.workload,
        "result": outcome.result,
        "sentence": outcome.sentence,
        "release": None if outcome.release is None else outcome.release.digest,
        **outcome.detail,
    }
    print(json.dumps(report), flush=True)
