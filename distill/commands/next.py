"""``tutelage distill next``: where the student fails, and whether another cycle pays."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from distill.commands.common import (
    Workplace,
    add_json,
    add_own_config,
    open_workplace,
    read_amount,
    read_count,
    read_seed,
)
from distill.commands.questions import (
    Targets,
    add_questions,
    describe_targets,
    find_targets,
    write_targets,
)
from distill.dataset.model import Tally
from distill.drift import find_drift
from distill.next.checked import find_release, gather, thin_out
from distill.next.clusters import Cluster, find_clusters
from distill.next.history import History, find_terms, read_history
from distill.next.payback import Payback, Terms, count_calls, weigh
from distill.wording import count_of
from router.errors import StoreError, UsageError
from router.record.redact import Redactor
from router.students.encoder import Encoder

_MOST = 2_000
"""Failures, and others, that are looked at: of more, a random sample stands for them."""


@dataclass(frozen=True, kw_only=True)
class _Need:
    """A cluster and what ``answers`` to questions that the student gets wrong there would take:
    ``calls`` of the teacher aimed at it, or ``calls_at_random``; ``calls_usd`` of the former."""

    cluster: Cluster
    calls: int
    calls_at_random: int
    calls_usd: float | None


@dataclass(frozen=True, kw_only=True)
class _Report:
    """One workload. ``wrong``: estimated share of all traffic where drafts of ``release`` disagree
    with the teacher, None where none was compared; ``changed``: only of drafts since the teacher
    was last seen to say something else; ``targets``: None unless questions were wanted."""

    workload: str
    release: str | None
    changed: bool
    questions: int
    wrong: float | None
    left_out: Mapping[str, int]
    needs: tuple[_Need, ...]
    history: History
    terms: Terms
    payback: Payback
    targets: Targets | None


def add_next(actions: Any) -> None:
    """Add ``next`` to the actions of ``distill``."""
    parser = actions.add_parser(
        "next",
        help="what to learn next, and whether another cycle pays",
        epilog="example: tutelage distill next --config tutelage.yaml --workload support-intent "
        "--questions 200 --ask --usd 0.50",
    )
    parser.add_argument("--workload", metavar="W", help="only this one; else all with answers")
    parser.add_argument(
        "--answers", type=read_count, default=20, metavar="N", help="wanted in each cluster (20)"
    )
    for name, default, said in (
        ("cycle-usd", 0.01, "what a cycle costs (0.01)"),
        ("shelf-days", 30.0, "how long what it brings is worth something (30)"),
        ("per-day", None, "interactions a day; else from the record"),
    ):
        parser.add_argument(f"--{name}", type=read_amount, default=default, metavar="X", help=said)
    parser.add_argument("--seed", type=read_seed, default=0, help="of all random choices (0)")
    add_questions(parser)
    add_own_config(parser)
    add_json(parser)
    parser.set_defaults(run=_next)


def _next(args: Namespace) -> int:
    if args.questions is None and (args.ask or args.usd is not None):
        raise UsageError("--ask and --usd need --questions N: how many to ask the teacher about.")
    with open_workplace(args.config) as place:
        known = sorted(place.store.answers_by_workload())
        if args.workload is not None and args.workload not in known:
            listed = ", ".join(known) or "none"
            raise StoreError(
                f"Workload {args.workload!r} has no answers to learn from; there are: {listed}."
            )
        wanted = known if args.workload is None else [args.workload]
        encoder = Encoder()
        reports = [_report(place, workload, encoder, args) for workload in wanted]
    if args.json:
        print(json.dumps({"workloads": [_to_json(report) for report in reports]}, indent=2))
        return 0
    if not reports:
        print("No answers to learn from yet.")
    for report in reports:
        print("\n".join(_describe(report, args.answers)))
    return 0


def _report(place: Workplace, workload: str, encoder: Encoder, args: Namespace) -> _Report:
    store, tally = place.store, Tally()
    release = find_release(store, workload)
    redactor = Redactor(place.settings.data.redact)
    on_drift = place.settings.learning.on_drift
    changed = find_drift(store, workload).changed_seq if on_drift else None
    rows = store.training_rows(workload, after_seq=changed or 0)
    checked = gather(rows, place.settings, redactor, release, tally)
    asked = sum(one.asked for one in checked)
    looked_at = thin_out(checked, _MOST, args.seed)
    vectors = encoder.encode([one.text for one in looked_at])
    clusters = find_clusters(looked_at, vectors, seed=args.seed)
    history = read_history(store, workload)
    terms = find_terms(
        store,
        workload,
        history,
        cycle_usd=args.cycle_usd,
        shelf_days=args.shelf_days,
        per_day=args.per_day,
    )
    return _Report(
        workload=workload,
        release=release,
        changed=changed is not None,
        questions=len(checked),
        wrong=sum(one.wrong for one in checked) / asked if checked else None,
        left_out=tally.dropped,
        needs=tuple(_find_need(cluster, args.answers, terms.teacher_usd) for cluster in clusters),
        history=history,
        terms=terms,
        payback=weigh(terms),
        targets=None if args.questions is None else find_targets(place, workload, encoder, args),
    )


def _find_need(cluster: Cluster, answers: int, teacher_usd: float | None) -> _Need:
    calls = count_calls(answers, cluster.questions, cluster.precision)
    return _Need(
        cluster=cluster,
        calls=calls,
        calls_at_random=count_calls(answers, cluster.questions, cluster.share),
        calls_usd=None if teacher_usd is None else calls * teacher_usd,
    )


def _to_json(report: _Report) -> dict[str, Any]:
    history, terms = report.history, report.terms
    targets = {} if report.targets is None else {"targets": write_targets(report.targets)}
    return {
        "workload": report.workload,
        "release": report.release,
        "since_change": report.changed,
        "questions": report.questions,
        "wrong": report.wrong,
        "left_out": report.left_out,
        "clusters": [
            {
                **asdict(need.cluster),
                "calls": need.calls,
                "calls_at_random": need.calls_at_random,
                "calls_usd": need.calls_usd,
            }
            for need in report.needs
        ],
        **targets,
        "next_cycle": {
            **asdict(report.payback),
            **asdict(terms),
            "cycles": history.cycles,
            "releases": [
                {
                    "number": stage.number,
                    "release": stage.release,
                    "interactions": stage.spared.interactions,
                    "spared": stage.spared.share,
                }
                for stage in history.stages
            ],
        },
    }


def _describe(report: _Report, answers: int) -> Iterator[str]:
    if report.wrong is None:
        yield f"{report.workload}: no draft was compared with the teacher's answer yet"
    else:
        yield (
            f"{report.workload}: drafts disagree with the teacher on {report.wrong:.1%} of all "
            f"traffic ({count_of(report.questions, 'question')} compared)"
        )
    if report.changed:
        yield "  only drafts since the teacher seems to have changed count"
    if report.left_out:
        counts = ", ".join(f"{n} {reason}" for reason, n in sorted(report.left_out.items()))
        yield f"  left out: {counts}"
    for place, need in enumerate(report.needs, 1):
        yield from _describe_need(place, need, answers)
    if report.targets is not None:
        yield from describe_targets(report.targets)
    for stage in report.history.stages:
        yield (
            f"  release {stage.number}: {stage.spared.share:.1%} answered without the teacher "
            f"(of its newest {stage.spared.interactions:,} interactions)"
        )
    yield f"  next cycle pays: {report.payback.pays}. {report.payback.sentence}"


def _describe_need(place: int, need: _Need, answers: int) -> Iterator[str]:
    cluster = need.cluster
    yield f"  {place}. {cluster.name}"
    yield (
        f"     {count_of(cluster.questions, 'question')}, {cluster.share:.1%} of all traffic; "
        f"{cluster.confusion_share:.0%} of them this confusion"
    )
    for example in cluster.examples:
        yield f"     “{example}”"
    if need.calls:
        price = "" if need.calls_usd is None else f" (${need.calls_usd:,.4f})"
        yield (
            f"     {answers} such answers take about {need.calls:,} targeted calls of the teacher"
            f"{price}, {need.calls_at_random:,} at random"
        )
    else:
        yield f"     {answers} such answers are there already"
