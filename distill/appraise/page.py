"""An appraisal as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from distill.appraise.appraisal import Appraisal, Part
from distill.appraise.forecast import Forecast
from distill.appraise.text import (
    WHY,
    describe_month,
    describe_part,
    tell_interval,
)
from distill.page import write_document, write_figures, write_table
from router.meter.money import show_usd

_WIDTH, _HEIGHT, _MARGIN = 640, 220, 40


def write_page(appraisal: Appraisal) -> str:
    """The whole document."""
    log = appraisal.log
    skipped = "".join(
        f"<li>{count} left out: {escape(reason)}</li>" for reason, count in log.skipped.items()
    )
    parts = "".join(_write_part(part) for part in appraisal.parts)
    figures = {"answered requests": f"{len(log.entries):,}", **_cost(appraisal)}
    return write_document(
        f"Appraisal of {log.name}",
        f"{write_figures(figures)}<p>{escape(describe_month(appraisal))}</p>"
        f"<ul>{skipped}</ul>{parts}",
    )


def _cost(appraisal: Appraisal) -> dict[str, str]:
    return {"spent": show_usd(appraisal.cost_usd)}


def _write_part(part: Part) -> str:
    found = part.forecast
    head = f"<h2>{escape(part.label)}</h2>"
    said = "".join(
        f"<p>{escape(line.strip())}</p>"
        for line in _plain_lines(part)
        if not line.startswith("   ")
    )
    if found is None:
        return head + said
    figures = {
        "answered by a student": tell_interval(found.served),
        "of the later half": tell_interval(found.later),
        "saved": "unknown" if found.saving is None else tell_interval(found.saving),
    }
    return f"{head}{write_figures(figures)}{said}{_plot(found)}{_reasons(found)}{_staying(found)}"


def _plain_lines(part: Part) -> list[str]:
    """The sentences, without what the tables show."""
    lines = []
    for line in list(describe_part(part))[1:]:
        if line.strip().startswith("in the later half the teacher answered because"):
            break
        lines.append(line)
    return lines


def _reasons(found: Forecast) -> str:
    rows = [(f"{share:.1%}", WHY.get(reason, reason)) for reason, share in found.reasons.items()]
    return write_table("Why the teacher answered, later half", (), rows, numbers=(0,))


def _staying(found: Forecast) -> str:
    if not found.staying:
        return ""
    rows = [
        (f"{one.share:.0%} of {one.interactions}", one.answer, one.example) for one in found.staying
    ]
    head = ("stays", "its answer", "such as")
    return write_table("What stays with the teacher most", head, rows, numbers=(0,))


def _plot(found: Forecast) -> str:
    """Share asked and agreement as the log goes on."""
    asked = [(point["i"], point["asked_rate"]) for point in found.curve]
    agreed = [(point["i"], point["agreement"]) for point in found.curve]
    ticks = "".join(
        f'<line x1="{_MARGIN}" x2="{_WIDTH}" y1="{_y(level)}" y2="{_y(level)}" stroke="var(--rule)"'
        f'/><text x="{_MARGIN - 6}" y="{_y(level) + 4}" text-anchor="end" font-size="12" '
        f'fill="currentColor">{level:.0%}</text>'
        for level in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Share of requests '
        f'asked of the teacher, and agreement, as the log goes on">{ticks}'
        f"{_line(asked, 'var(--line)')}{_line(agreed, 'var(--other)')}</svg>"
        '<figcaption><span style="color:var(--line)">■</span> asked of the teacher so far '
        '<span style="color:var(--other)">■</span> agreement so far</figcaption></figure>'
    )


def _line(points: Sequence[tuple[int, Any]], color: str) -> str:
    last = points[-1][0]
    path = " ".join(
        f"{_MARGIN + (_WIDTH - _MARGIN) * i / last:.1f},{_y(share):.1f}" for i, share in points
    )
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'


def _y(share: float) -> float:
    return 10 + (_HEIGHT - 20) * (1.0 - share)
