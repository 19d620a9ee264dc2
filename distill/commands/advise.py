"""``tutelage advise``: distill, route, fine-tune or leave, with the figures behind it."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.advise.curve import learning_curve
from distill.advise.decision import Advice, Figures, Turned, decide, vary
from distill.appraise.log import Log, Logged, read_log, read_records
from distill.appraise.measure import by_workload, find_cost, profile
from distill.commands.common import (
    add_json,
    add_own_config,
    open_workplace,
    read_amount,
    read_seed,
)
from distill.replay.line import judge_teacher
from policies.promise.certificate import Terms
from router.errors import UsageError
from router.settings.load import find_config, load_settings
from router.settings.model import Settings, WorkloadSettings
from router.students.encoder import Encoder
from router.workload import find_settings

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_DAY_S = 86_400.0
_UNPROMISED = 0.95


def register(commands: _SubParsersAction[Any]) -> None:
    """Add ``advise`` to the commands."""
    parser = commands.add_parser(
        "advise",
        help="distill, route, fine-tune or leave: with the figures behind it",
        epilog="example: tutelage advise --workload support-intent --setup-usd 500",
    )
    add_own_config(parser)
    parser.add_argument("--workload", metavar="W", help="only this one")
    parser.add_argument(
        "--log", type=Path, metavar="LOG", help="a log as in appraise, instead of the store"
    )
    parser.add_argument(
        "--per-day", type=read_amount, metavar="N", help="interactions a day; else from the log"
    )
    for name, default, said in (
        ("setup-usd", 100.0, "of setting it up, once"),
        ("cycle-usd", 0.01, "of one training"),
        ("cycles-per-month", 30.0, "trainings"),
        ("student-usd", 0.0, "of one answer of the student"),
        ("horizon-days", 90.0, "over which it must pay"),
    ):
        parser.add_argument(
            f"--{name}", type=read_amount, default=default, metavar="X", help=f"{said} ({default})"
        )
    parser.add_argument("--seed", type=read_seed, default=0, help="of training (0)")
    add_json(parser)
    parser.set_defaults(run=_advise)


@dataclass(frozen=True, kw_only=True)
class _Report:
    """One workload; ``figures`` and ``advice`` are None where ``missing`` says what isn't known."""

    workload: str
    label: str
    interactions: int
    coverage: float
    figures: Figures | None = None
    advice: Advice | None = None
    turned: Sequence[Turned] = ()
    missing: str | None = None


def _advise(args: Namespace) -> int:
    settings = load_settings(find_config(args.config), os.environ, need_secrets=False)
    if args.log is not None:
        log = read_log(args.log, settings)
    else:
        with open_workplace(args.config) as place:
            log = read_records(place.store, "the store", settings)
    parts = by_workload(log.entries)
    if args.workload is not None:
        if args.workload not in parts:
            known = ", ".join(parts)
            raise UsageError(f"There is no workload {args.workload!r} here: choose from {known}.")
        parts = {args.workload: parts[args.workload]}
    encoder = Encoder(cache=1_000_000)
    reports = [
        _report(args, settings, log, name, entries, encoder) for name, entries in parts.items()
    ]
    if args.json:
        print(json.dumps({"workloads": [asdict(report) for report in reports]}, indent=2))
    else:
        print("\n\n".join("\n".join(_describe(report)) for report in reports))
    return 0


def _report(
    args: Namespace,
    settings: Settings,
    log: Log,
    name: str,
    entries: Sequence[Logged],
    encoder: Encoder,
) -> _Report:
    teacher = settings.teacher
    configured = find_settings(settings, name)
    price = None if teacher is None else teacher.price
    chosen = None if configured is None else configured.compare
    measured = profile(entries, price, None, chosen)
    costs = [cost for cost in (find_cost(entry, price) for entry in entries) if cost is not None]
    curve, coverage = learning_curve(
        entries, measured.comparer, _terms_of(configured), encoder, seed=args.seed
    )
    per_day = args.per_day if args.per_day is not None else _find_pace(log, entries)
    judged = [judge_teacher(entry.row, measured.comparer) for entry in entries]
    known = [verdict for verdict in judged if verdict is not None]
    missing = None
    if per_day is None:
        missing = "how many interactions a day: the log spans less than a day; give --per-day"
    elif not costs:
        missing = "what the teacher costs: give its model a price"
    if per_day is None or missing is not None:
        return _Report(
            workload=name,
            label=log.labels[name],
            interactions=len(entries),
            coverage=coverage,
            missing=missing,
        )
    figures = Figures(
        per_day=per_day,
        teacher_usd=float(sum(costs)) / len(costs),
        student_usd=args.student_usd,
        setup_usd=args.setup_usd,
        cycle_usd=args.cycle_usd,
        cycles_per_month=args.cycles_per_month,
        horizon_days=args.horizon_days,
        licensed=teacher is None or teacher.distillation == "allowed",
        curve=curve,
        gold=len(known),
        teacher_accuracy=sum(known) / len(known) if known else None,
    )
    return _Report(
        workload=name,
        label=log.labels[name],
        interactions=len(entries),
        coverage=coverage,
        figures=figures,
        advice=decide(figures),
        turned=list(vary(figures)),
    )


def _terms_of(configured: WorkloadSettings | None) -> Terms:
    promise = None if configured is None else configured.promise
    if promise is None or promise.agreement is None:
        return Terms(agreement=_UNPROMISED)
    return Terms(agreement=promise.agreement, confidence=promise.confidence, over=promise.over)


def _find_pace(log: Log, entries: Sequence[Logged]) -> float | None:
    """Interactions a day; None where the log spans less than one."""
    if log.span_s is None or log.span_s < _DAY_S:
        return None
    return len(entries) / (log.span_s / _DAY_S)


def _describe(report: _Report) -> Iterator[str]:
    figures, advice = report.figures, report.advice
    yield f"{report.label} ({report.interactions} interactions)"
    if figures is None or advice is None:
        yield f"  no advice: unknown is {report.missing}"
        return
    yield f"  {advice.action.upper()}: {advice.reason}."
    day = advice.break_even_day
    yield "  break-even: " + ("not in sight" if day is None else f"day {day:.1f}")
    yield (
        f"  {figures.per_day:,.0f} a day at ${figures.teacher_usd:.6f}; student "
        f"${figures.student_usd:.6f}; set-up ${figures.setup_usd:,.2f}; "
        f"{figures.cycles_per_month:.0f} trainings a month at ${figures.cycle_usd:,.2f}; horizon "
        f"{figures.horizon_days:.0f} days"
    )
    accuracy = figures.teacher_accuracy
    gold = "no right answers at hand"
    if accuracy is not None:
        gold = f"the teacher is right in {accuracy:.1%} of {figures.gold} known cases"
    licence = "may be learned from" if figures.licensed else "may not be learned from"
    yield f"  {gold}; its answers {licence}; {report.coverage:.0%} of new answers were given before"
    for point in figures.curve:
        yield (
            f"    {point.answers:>6} answers: agrees {point.agreement:.1%}, provable on "
            f"{point.share:.1%}"
        )
    changed = [one for one in report.turned if one.action is not advice.action]
    for one in changed:
        yield f"  with {one.factor:g} times the {one.figure}: {one.action}"
    if not changed:
        yield "  no figure halved or doubled alone changes the advice"
