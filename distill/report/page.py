"""A report as one HTML file; what it prints is what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import escape
from typing import Any

from distill.page import write_document, write_figures, write_table
from distill.wording import count_of
from router.meter.money import plain_usd, show_usd

_DASH = "–"
_HEAD = ("", "interactions", "cost", "each", "saved", "teacher", "agreement")
_NUMBERS = (1, 2, 3, 4, 5, 6)


def write_page(report: Mapping[str, Any]) -> str:
    """``report``: what ``gather`` gathered."""
    first, last = _days(report)
    sections = [
        _write_total(report),
        _write_weeks(report),
        _write_parts(report),
        _write_releases(report),
        _write_alarms(report),
        _write_disagreements(report),
        _write_models(report),
        "<p>All days are in UTC. Agreement is estimated from random checks, with a 95 % interval;"
        " the teacher’s own answers count as agreeing. Money is what is known: interactions of"
        " unknown cost are counted and in no sum.</p>",
    ]
    return write_document(f"Cost and quality, {first} to {last}", "".join(sections))


def _days(part: Mapping[str, Any]) -> tuple[str, str]:
    """First and last day, both of the period."""
    last = date.fromisoformat(part["to"]) - timedelta(days=1)
    return part["from"], last.isoformat()


def _write_total(report: Mapping[str, Any]) -> str:
    now, before = report["total"]["now"], report["total"]["before"]
    if not now["interactions"]:
        return "<p>There were no interactions.</p>"
    figures = {
        "interactions": f"{now['interactions']:,}",
        "spent": _usd(now["cost_usd"]),
        "saved beside always asking the teacher": _share(now["saving"]),
        "per interaction": _usd(now["cost_each_usd"]),
        "answered by the teacher": _share(now["escalated"]),
        "agreement": _agreement(now),
    }
    said = []
    if before["interactions"]:
        first, last = _days(report["before"])
        said.append(
            f"The period before ({first} to {last}): "
            f"{count_of(before['interactions'], 'interaction')}, spent "
            f"{_usd(before['cost_usd'])}, {_usd(before['cost_each_usd'])} each, saved "
            f"{_share(before['saving'])}, agreement {_agreement(before)}."
        )
    if now["unknown_costs"]:
        said.append(f"The cost of {count_of(now['unknown_costs'], 'interaction')} is unknown.")
    said.append(_say_training(now, report["training"]))
    if now["errors"]:
        said.append(f"{count_of(now['errors'], 'interaction')} ended in an error.")
    return write_figures(figures) + "".join(f"<p>{escape(line)}</p>" for line in said)


def _say_training(now: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    took = f"Training took {training['core_seconds']:,.0f} s of a processor's core"
    if training["cost_usd"] is None:
        return f"{took}, counted as 0 since learning.usd_per_core_hour gives it no price."
    net = Decimal(now["saved_usd"]) - Decimal(training["cost_usd"])
    left = f"{_usd(now['saved_usd'])} were saved before it, "
    return f"{took}, {_usd(training['cost_usd'])}: {left}{_usd(plain_usd(net))} after it."


def _write_weeks(report: Mapping[str, Any]) -> str:
    rows = [(f"{_days(week)[0]} to {_days(week)[1]}", *_cells(week)) for week in report["weeks"]]
    return f"<h2>Week by week</h2>{write_table('By week', _HEAD, rows, _NUMBERS)}"


def _write_parts(report: Mapping[str, Any]) -> str:
    rows = []
    for part in report["parts"]:
        name = part["workload"] if not part["tenant"] else f"{part['workload']} · {part['tenant']}"
        rows.append((name, *_cells(part["now"]), _promise(part["promise"])))
        rows.append(("before", *_cells(part["before"]), ""))
    head = (*_HEAD, "promise")
    return (
        "<h2>Workloads and tenants</h2>"
        f"{write_table('By workload and tenant, beside the period before', head, rows, _NUMBERS)}"
    )


def _cells(figures: Mapping[str, Any]) -> tuple[str, ...]:
    if not figures["interactions"]:
        return ("0", *(_DASH for _ in _NUMBERS[1:]))
    return (
        f"{figures['interactions']:,}",
        _usd(figures["cost_usd"]),
        _usd(figures["cost_each_usd"]),
        _share(figures["saving"]),
        _share(figures["escalated"]),
        _agreement(figures),
    )


def _promise(promise: Mapping[str, Any] | None) -> str:
    if promise is None:
        return _DASH
    over = "" if promise["over"] == "all" else " of what is served"
    return f"{promise['agreement']:.1%}{over}: {promise['verdict']}"


def _write_releases(report: Mapping[str, Any]) -> str:
    if not report["releases"]:
        return "<h2>Releases</h2><p>None came or went.</p>"
    rows = []
    for one in report["releases"]:
        under, earlier = one["under_it"], one["under_the_one_before"]
        rows.append(
            (
                _instant(one["at"]),
                f"{one['workload']} {one['number'] or one['digest'][:12]}",
                one["action"].replace("_", " "),
                one["reason"],
                _change(_served(earlier), _served(under)),
                _change(_agreement(earlier), _agreement(under)),
            )
        )
    head = ("at", "release", "what", "why", "answered without the teacher", "agreement")
    return f"<h2>Releases</h2>{write_table('Releases, and what they changed', head, rows)}"


def _change(before: str, after: str) -> str:
    return _DASH if before == after == _DASH else f"{before} → {after}"


def _served(figures: Mapping[str, Any] | None) -> str:
    escalated = None if figures is None else figures.get("escalated")
    return _DASH if escalated is None else _share(1.0 - escalated)


def _write_alarms(report: Mapping[str, Any]) -> str:
    rows = [
        (
            _instant(one["at"]),
            one["workload"],
            one["changed"],
            _DASH if one["ended_at"] is None else _instant(one["ended_at"]),
        )
        for one in report["alarms"]
    ]
    head = ("at", "workload", "what changed", "evidence had returned")
    raised = write_table("Alarms of the watch", head, rows) if rows else "<p>None was raised.</p>"
    return f"<h2>Alarms</h2>{raised}{_write_withheld(report)}"


def _write_withheld(report: Mapping[str, Any]) -> str:
    if not report["withheld"]:
        return "<p>No draft was withheld because of drift.</p>"
    rows = [
        (
            one["workload"],
            f"{one['interactions']:,}",
            _instant(one["first_at"]),
            _instant(one["last_at"]),
        )
        for one in report["withheld"]
    ]
    head = ("workload", "drafts withheld", "first", "last")
    return write_table("Drafts withheld because of drift", head, rows, (1,))


def _write_disagreements(report: Mapping[str, Any]) -> str:
    if not report["disagreements"]:
        return "<h2>Disagreements</h2><p>No draft that was compared disagreed.</p>"
    rows = [
        (
            one["asked"],
            one["draft"],
            one["teacher"],
            _DASH if one["confidence"] is None else f"{one['confidence']:.3f}",
            "yes" if one["served"] else "no",
            one["id"],
        )
        for one in report["disagreements"]
    ]
    head = ("asked", "draft", "teacher", "confidence", "served", "interaction")
    caption = "The biggest disagreements: served ones first, then the surest; redacted"
    return f"<h2>Disagreements</h2>{write_table(caption, head, rows, (3,))}"


def _write_models(report: Mapping[str, Any]) -> str:
    rows = [
        (
            one["model"],
            one["purpose"],
            f"{one['calls']:,}",
            f"{one['prompt_tokens']:,}",
            f"{one['completion_tokens']:,}",
            _usd(one["cost_usd"]),
            f"{one['unknown']:,}",
        )
        for one in report["models"]
    ]
    head = ("model", "for", "calls", "tokens in", "tokens out", "cost", "cost unknown")
    return f"<h2>Calls and tokens</h2>{write_table('By model', head, rows, (2, 3, 4, 5, 6))}"


def _agreement(figures: Mapping[str, Any] | None) -> str:
    found = None if figures is None else figures["agreement"]
    if found is None:
        return _DASH
    of_all = found["all"]
    if of_all["low"] == of_all["high"]:
        return f"{of_all['estimate']:.1%}"
    return f"{of_all['estimate']:.1%} ({of_all['low']:.1%} to {of_all['high']:.1%})"


def _share(share: float | None) -> str:
    return _DASH if share is None else f"{share:.1%}"


def _usd(amount: str | None) -> str:
    return _DASH if amount is None else show_usd(Decimal(amount))


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
