"""``tutelage distill next --questions N [--ask]``: targeted calls of the teacher."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from distill.commands.common import Workplace, read_count, read_usd
from distill.commands.progress import Progress
from distill.next.asking import Asked, Asker
from distill.next.checked import shorten
from distill.next.pool import Chosen, choose
from distill.wording import count_of
from router.deps import build_targets
from router.errors import ConfigError
from router.record.redact import Redactor
from router.settings.model import Settings
from router.students.encoder import Encoder
from router.upstream.client import UpstreamClient

_SHOWN = 10
_LONGEST = 100


@dataclass(frozen=True, kw_only=True)
class Targets:
    """``each_usd``: what an answer of the teacher costs on average, None where unknown; ``asked``:
    what came of asking, None where nobody was to be asked."""

    chosen: Chosen
    each_usd: Decimal | None
    asked: Asked | None = None


def add_questions(parser: ArgumentParser) -> None:
    """``--questions``, ``--ask`` and ``--usd``."""
    parser.add_argument(
        "--questions",
        type=read_count,
        metavar="N",
        help="choose N recorded questions whose answers would teach most, of those that the "
        "student answered without the teacher",
    )
    parser.add_argument(
        "--ask", action="store_true", help="ask the teacher about them, and record its answers"
    )
    parser.add_argument(
        "--usd",
        type=read_usd,
        metavar="X",
        help="that asking may cost, per workload; else learning.max_usd_per_cycle, else no bound",
    )


def find_targets(place: Workplace, workload: str, encoder: Encoder, args: Namespace) -> Targets:
    """The workload's questions, and, with ``--ask``, what the teacher said to how many of them.

    Raises ConfigError for a bound on money where an answer's cost is unknown, or a missing key.
    """
    redactor = Redactor(place.settings.data.redact)
    chosen = choose(
        *(place.store, place.settings, redactor, encoder), workload=workload, count=args.questions
    )
    total_usd, answers = place.store.teacher_costs().get(workload, (None, 0))
    each_usd = total_usd / answers if total_usd is not None and answers else None
    found = Targets(chosen=chosen, each_usd=each_usd)
    if not args.ask or not chosen.questions:
        return found
    most_usd = place.settings.learning.max_usd_per_cycle if args.usd is None else args.usd
    if most_usd is not None and not each_usd:
        raise ConfigError(
            f"What an answer to {workload} costs is unknown, so ${most_usd} bounds nothing: give "
            "the teacher's model a price, or leave the bound out."
        )
    _require_keys(place.settings, chosen)
    return replace(found, asked=asyncio.run(_ask(place, workload, found, most_usd)))


def _require_keys(settings: Settings, chosen: Chosen) -> None:
    """Raises ConfigError for a teacher whose key isn't in the environment."""
    for key in sorted({one.model for one in chosen.questions}):
        name = settings.models[key].api_key_env
        if name is not None and settings.secret(name) is None:
            raise ConfigError(f"Set {name}: without its key the teacher {key!r} can't be asked.")


async def _ask(
    place: Workplace, workload: str, targets: Targets, most_usd: Decimal | None
) -> Asked:
    progress = Progress()
    async with UpstreamClient() as upstream:
        asker = Asker(
            settings=place.settings,
            store=place.store,
            redactor=Redactor(place.settings.data.redact),
            upstream=upstream,
            targets=build_targets(place.settings),
            workload=workload,
            comparer=targets.chosen.comparer,
            each_usd=targets.each_usd or Decimal(0),
            most_usd=most_usd,
            tell=lambda done, total: progress.tell(done, total, f"asking about {workload}"),
        )
        try:
            return await asker.ask(targets.chosen.questions)
        finally:
            progress.end()


def write_targets(found: Targets) -> dict[str, Any]:
    """For ``--json``."""
    chosen, asked = found.chosen, found.asked
    each = found.each_usd
    return {
        "chosen": [
            {
                "id": one.asked.id,
                "text": one.asked.input_text,
                "draft": one.draft,
                "margin": one.margin,
                "teacher": one.model,
            }
            for one in chosen.questions
        ],
        "of": chosen.pool,
        "left_out": dict(chosen.left_out),
        "problem": chosen.problem,
        "calls_usd": None if each is None else float(each * len(chosen.questions)),
        "asked": None
        if asked is None
        else {
            "calls": asked.calls,
            "answers": asked.answers,
            "cost_usd": float(asked.cost_usd),
            "calls_of_unknown_cost": asked.unpriced,
            "stopped": asked.stopped,
        },
    }


def describe_targets(found: Targets) -> Iterator[str]:
    """In words."""
    chosen, asked = found.chosen, found.asked
    if chosen.problem is not None:
        yield f"  nothing to ask the teacher: {chosen.problem}"
    else:
        price = (
            ""
            if found.each_usd is None
            else f", about ${found.each_usd * len(chosen.questions):,.4f}"
        )
        yield (
            f"  to ask the teacher about: {count_of(len(chosen.questions), 'question')} of "
            f"{chosen.pool:,} that the student answered alone{price}"
        )
    for one in chosen.questions[:_SHOWN]:
        yield f"     “{shorten(one.asked.input_text, _LONGEST)}” → {shorten(one.draft, _LONGEST)}"
    if len(chosen.questions) > _SHOWN:
        yield f"     and {len(chosen.questions) - _SHOWN:,} more; --json has them all"
    if chosen.left_out:
        counts = ", ".join(f"{n} {reason}" for reason, n in sorted(chosen.left_out.items()))
        yield f"     left out: {counts}"
    if asked is not None:
        yield (
            f"     asked: {count_of(asked.calls, 'call')}, {count_of(asked.answers, 'answer')}, "
            f"${asked.cost_usd:,.6f}; tutelage distill run learns from them"
        )
        if asked.stopped is not None:
            yield f"     {asked.stopped}"
