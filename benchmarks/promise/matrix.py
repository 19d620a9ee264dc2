"""Tables of what ``benchmarks.promise.held`` measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.promise.intervals import write_share

Row = dict[str, Any]
Rows = list[Row]

ALL_ASKED = 0.99
"""From this asked share on a promise is held by asking, which proves nothing."""

_TARGET = 0.95
"""Share of runs in which a promise should be held."""


def read_runs(path: Path) -> Rows:
    """Raises OSError for a file that can't be read, ValueError for a line that is no JSON."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def print_summary(runs: Rows) -> None:
    """Lines per stream and order, then totals; what was held by asking everything apart."""
    if not runs:
        print("no runs")
        return
    print(
        f"\n{'stream':25}{'order':16}{'kind':12}{'promise':>8}{'runs':>5}{'held':>5}{'asked':>7}"
        f"{'lowest':>8}{'window':>8}  served by nobody"
    )
    for group, same in _grouped(runs, ("stream", "order", "kind", "promise")):
        print(_write_group(group, same))
    print()
    for group, same in _grouped(runs, ("kind", "promise")):
        _print_total(group, same)
    for row in runs:
        if not row["promise_held"]:
            print(
                f"not held: {row['stream']} {row['order']} {row['kind']} {row['promise']} seed "
                f"{row['seed']}: {row['agreement']:.4f}, below from {row['below_from']}; wrong by "
                f"tenth {row['wrong_by_tenth']}, asked {row['asked_by_tenth']}"
            )
    print("commits:", *sorted({row["commit"] for row in runs}))


def _grouped(runs: Rows, names: Sequence[str]) -> list[tuple[tuple[Any, ...], Rows]]:
    """In the order of first appearance."""
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in runs:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(groups.items())


def _write_group(group: tuple[Any, ...], same: Rows) -> str:
    stream, order, kind, promise = group
    windows = [row["agreement_worst_window"] for row in same]
    lowest = min((window for window in windows if window is not None), default=float("nan"))
    idle = sum(row["asked_rate"] >= ALL_ASKED for row in same)
    return (
        f"{stream:25}{order:16}{kind:12}{promise:8.2f}{len(same):5}"
        f"{sum(row['promise_held'] for row in same):5}{_mean_asked(same):7.3f}"
        f"{min(row['agreement'] for row in same):8.4f}{lowest:8.3f}"
        f"  {f'{idle} of {len(same)}' if idle else ''}"
    )


def _print_total(group: tuple[Any, ...], same: Rows) -> None:
    kind, promise = group
    put_to_use = [row for row in same if row["asked_rate"] < ALL_ASKED]
    claimed = [row for row in same if row["certified"]]
    held = sum(row["promise_held"] for row in put_to_use)
    contradicted = sum(row["contradicted"] for row in claimed)
    below = sum(row["below_from"] is not None for row in put_to_use)
    allowed = max((claim["confidence"] for row in claimed for claim in row["certified"]), default=1)
    print(
        f"{kind} {promise}: held {held} of {len(put_to_use)}, "
        f"{write_share(held, len(put_to_use))} (target {_TARGET}), asked "
        f"{_mean_asked(put_to_use):.3f}; below the promise at some moment {below}\n"
        f"  claims contradicted {contradicted} of {len(claimed)}, "
        f"{write_share(contradicted, len(claimed))} (allowed {1 - allowed:.3f})\n"
        f"  apart: held by asking {ALL_ASKED:.0%} or more: {len(same) - len(put_to_use)}"
    )


def _mean_asked(runs: Rows) -> float:
    return sum(row["asked_rate"] for row in runs) / len(runs) if runs else float("nan")
