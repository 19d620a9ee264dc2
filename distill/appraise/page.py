"""An appraisal as one HTML file that needs nothing else: no script, no asset from the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from router.meter.money import show_usd

_WIDTH, _HEIGHT, _MARGIN = 640, 220, 40
_STYLE = """
:root { color-scheme: light dark; --line: #2563eb; --other: #d97706; --rule: #8888; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { border-top: 1px solid var(--rule); padding-top: 1.5rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--rule); }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem; } .figures div { min-width: 9rem; }
.figures b { display: block; font-size: 1.6rem; } svg { width: 100%; height: auto; }
"""


def write_page(appraisal: Appraisal) -> str:
    """The whole document."""
    log = appraisal.log
    skipped = "".join(
        f"<li>{count} left out: {escape(reason)}</li>" for reason, count in log.skipped.items()
    )
    parts = "".join(_write_part(part) for part in appraisal.parts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Appraisal of {escape(log.name)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>Appraisal of {escape(log.name)}</h1>"
        f"{_figures({'answered requests': f'{len(log.entries):,}', **_cost(appraisal)})}"
        f"<p>{escape(describe_month(appraisal))}</p><ul>{skipped}</ul>{parts}</body></html>\n"
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
    return f"{head}{_figures(figures)}{said}{_plot(found)}{_reasons(found)}{_staying(found)}"


def _plain_lines(part: Part) -> list[str]:
    """The sentences, without what the tables show."""
    lines = []
    for line in list(describe_part(part))[1:]:
        if line.strip().startswith("in the later half the teacher answered because"):
            break
        lines.append(line)
    return lines


def _figures(figures: Mapping[str, str]) -> str:
    cells = "".join(
        f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in figures.items()
    )
    return f'<div class="figures">{cells}</div>'


def _reasons(found: Forecast) -> str:
    rows = "".join(
        f'<tr><td class="n">{share:.1%}</td><td>{escape(WHY.get(reason, reason))}</td></tr>'
        for reason, share in found.reasons.items()
    )
    return f"<table><caption>Why the teacher answered, later half</caption>{rows}</table>"


def _staying(found: Forecast) -> str:
    if not found.staying:
        return ""
    rows = "".join(
        f'<tr><td class="n">{one.share:.0%} of {one.interactions}</td>'
        f"<td>{escape(one.answer)}</td><td>{escape(one.example)}</td></tr>"
        for one in found.staying
    )
    return (
        "<table><caption>What stays with the teacher most</caption>"
        f"<tr><th>stays</th><th>its answer</th><th>such as</th></tr>{rows}</table>"
    )


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
