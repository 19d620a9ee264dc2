"""Recompute the figures of a replay from its trace, with nothing but the standard library.

    python benchmarks/replay/recompute.py RESULT TRACE

RESULT is what ``tutelage replay --out`` wrote, TRACE what ``--trace`` wrote in the same run. One
line per figure: its name, the result's value, the recomputed value, ``ok`` or ``DIFFERS``. Exits 0
if every figure is the same to the last bit, 1 if one differs, 2 if a file can't be used.

It shares no code with the project: it reads the definitions of the figures, not their program.
What no trace holds isn't compared and is named at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

GIVEN = (
    *("stream", "seed", "promise", "confidence", "certified", "releases", "seconds"),
    "teacher_noise",
)
WINDOW = 1_000
POINTS = 50

Row = dict[str, Any]


def mean(values: list[Any]) -> float | None:
    """The share of true values; None without values, or with one that is unknown."""
    if not values or any(value is None for value in values):
        return None
    return float(Fraction(sum(1 for value in values if value), len(values)))


def exact_sum(values: list[Any]) -> Fraction | None:
    """The sum without any rounding; None without values, or with one that is unknown."""
    if not values or any(value is None for value in values):
        return None
    total = Fraction(0)
    for value in values:
        total += value
    return total


def column(rows: list[Row], name: str) -> list[Any]:
    return [row[name] for row in rows]


def worst_window(rows: list[Row]) -> float | None:
    """Lowest agreement of 1,000 rows in a line that begin where a release was, or later."""
    first = next((i for i, row in enumerate(rows) if row["release"] is not None), len(rows))
    rows = rows[first:]
    if len(rows) < WINDOW:
        return None
    inside = sum(row["agreed"] for row in rows[:WINDOW])
    lowest = inside
    for leaving, entering in zip(rows, rows[WINDOW:], strict=False):
        inside += entering["agreed"] - leaving["agreed"]
        lowest = min(lowest, inside)
    return float(Fraction(lowest, WINDOW))


def curve(rows: list[Row]) -> list[Row]:
    """What held of all rows so far after each fiftieth; its end is rounded down to whole rows."""
    points: list[Row] = []
    ends = {len(rows) * k // POINTS for k in range(1, POINTS + 1)}
    asked, agreed, cost_usd = 0, 0, Fraction(0)
    known = True
    for i, row in enumerate(rows, start=1):
        asked += row["asked"]
        agreed += row["agreed"]
        known = known and row["cost_usd"] is not None
        cost_usd += row["cost_usd"] if known else 0
        if i in ends:
            points.append(
                {
                    "i": i,
                    "asked_rate": float(Fraction(asked, i)),
                    "agreement": float(Fraction(agreed, i)),
                    "cost_usd": float(cost_usd) if known else None,
                }
            )
    return points


def recompute_slices(rows: list[Row], given: list[Row]) -> list[Row]:
    """The figures of each slice whose name and terms are given."""
    found = []
    for terms in given:
        name, workload, promise = terms["slice"], terms["workload"], terms["promise"]
        of_workload = [row for row in rows if row["workload"] == workload]
        inside = [row for row in of_workload if name in row.get("slices", ())]
        served = [row for row in inside if row["tier"] == "student"]
        agreement = mean(column(inside, "agreed"))
        found.append(
            {
                "workload": workload,
                "slice": name,
                "n": len(inside),
                "promise": promise,
                "confidence": terms["confidence"],
                "asked_rate": mean(column(inside, "asked")),
                "served_by_student": len(served),
                "agreement": agreement,
                "agreement_served": mean(column(served, "agreed")),
                "promise_held": None if agreement is None else agreement >= promise,
            }
        )
    return found


def recompute(rows: list[Row], promise: float | None) -> dict[str, Any]:
    """Every figure that follows from the rows, by name."""
    served = [row for row in rows if row["tier"] == "student"]
    recalled = [row for row in rows if row["tier"] == "recall"]
    half = rows[len(rows) // 2 :]
    agreement = mean(column(rows, "agreed"))
    cost_usd = exact_sum(column(rows, "cost_usd"))
    teacher_cost_usd = exact_sum(column(rows, "teacher_cost_usd"))
    saving = None
    if cost_usd is not None and teacher_cost_usd:
        saving = float(1 - cost_usd / teacher_cost_usd)
    return {
        "n": len(rows),
        "asked": sum(1 for row in rows if row["asked"]),
        "asked_rate": mean(column(rows, "asked")),
        "audited": sum(1 for row in rows if row["asked"] and row["background"]),
        "served_by_student": len(served),
        "served_by_recall": len(recalled),
        "agreement": agreement,
        "agreement_served": mean(column(served, "agreed")),
        "agreement_recalled": mean(column(recalled, "agreed")),
        "agreement_worst_window": worst_window(rows),
        "promise_held": None if promise is None or agreement is None else agreement >= promise,
        "accuracy": mean(column(rows, "correct")),
        "teacher_accuracy": mean(column(rows, "teacher_correct")),
        "cost_usd": None if cost_usd is None else float(cost_usd),
        "teacher_cost_usd": None if teacher_cost_usd is None else float(teacher_cost_usd),
        "saving": saving,
        "second_half": {
            "asked_rate": mean(column(half, "asked")),
            "agreement": mean(column(half, "agreed")),
        },
        "curve": curve(rows),
    }


def compare(result: dict[str, Any], rows: list[Row]) -> list[tuple[str, Any, Any, bool]]:
    """(name, result's value, recomputed value, the same) of every figure.

    A figure that only one side has differs.
    """
    found = recompute(rows, result.get("promise"))
    if "slices" in result:
        found["slices"] = recompute_slices(rows, result["slices"])
    names = [*found, *(name for name in result if name not in found and name not in GIVEN)]
    absent = "absent"
    pairs = [(name, result.get(name, absent), found.get(name, absent)) for name in names]
    return [(name, given, own, _is_same(given, own)) for name, given, own in pairs]


def _is_same(given: Any, own: Any) -> bool:
    """Equal in value and kind: 1 is 1.0, but true isn't 1."""
    if isinstance(given, bool) or isinstance(own, bool):
        return given is own
    if isinstance(given, dict) and isinstance(own, dict):
        return given.keys() == own.keys() and all(_is_same(given[key], own[key]) for key in own)
    if isinstance(given, list) and isinstance(own, list):
        return len(given) == len(own) and all(map(_is_same, given, own))
    return bool(given == own)


def read_rows(path: Path) -> list[Row]:
    """The trace's rows, with every number with a fraction as the exact Fraction it stands for."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line, parse_float=Fraction) for line in file]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description="Recompute the figures of a replay from its trace.",
        epilog="example: python benchmarks/replay/recompute.py result.json trace.jsonl",
    )
    parser.add_argument("result", type=Path, metavar="RESULT", help="what --out wrote")
    parser.add_argument("trace", type=Path, metavar="TRACE", help="what --trace wrote")
    paths = parser.parse_args(arguments)
    try:
        result = json.loads(paths.result.read_text(encoding="utf-8"))
        compared = compare(result, read_rows(paths.trace))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(
            f"This is no result with its trace ({type(error).__name__}: {error}); "
            "name the files that --out and --trace wrote.",
            file=sys.stderr,
        )
        return 2
    for name, given, own, same in compared:
        verdict = "ok" if same else "DIFFERS"
        print(name, json.dumps(given), json.dumps(own), verdict)
    print("not in a trace:", *GIVEN)
    return 0 if all(same for *_, same in compared) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
