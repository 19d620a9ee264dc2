"""Who knows best when a recorded student may serve: all rankers side by side, in one run.

Streams with two recorded models are not part of the project: ``benchmarks.data.check`` says where
they come from. Their folder is named by ``--data`` or by ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.frontier.contestants import CONTESTANTS, REFERENCES
from benchmarks.frontier.metrics import apgr, escalation_curve, parity_share
from benchmarks.frontier.protocol import STREAMS, Measured, Split, measure, read_split, score_split
from benchmarks.frontier.ranker import Floats, NotApplicableError, right
from benchmarks.frontier.rival import run_rival
from benchmarks.frontier.vectors import RememberingEncoder
from benchmarks.installed import UnavailableError
from distill.streams import StreamError, read_stream

_CACHE = Path(".cache/frontier")
_RIVAL_STREAM = "banking77-gpt4"
_HEADER = (
    f"{'':22}{'APGR':>6} {'95 %':>13} {'lead':>7} {'95 %':>16} {'CPT50':>6} {'CPT80':>6} "
    f"{'@20 %':>6} {'@50 %':>6} {'parity':>6} {'AURC':>6} {'served':>6} {'broken':>6}  calibration"
)


def main() -> int:
    """Print a table for each stream; 1 where a stream that was asked for can't be read."""
    args = _read_args()
    if args.data is None or not (args.data / "streams").is_dir():
        print("skipped: no streams/; name its folder by --data or TUTELAGE_DATA")
        return 0
    began_s = time.perf_counter()
    encoder = RememberingEncoder(args.cache)
    report: dict[str, Any] = {**describe_run(args.seed), "streams": {}}
    try:
        for name in args.streams:
            report["streams"][name] = _compare(
                name, read_split(args.data, name), encoder, args.seed
            )
        if args.rival:
            report["distilroute"] = _compare_rival(args.data, args.seed, args.cache)
    except StreamError as error:
        print(f"sidebyside: {error}", file=sys.stderr)
        return 1
    report["seconds"] = time.perf_counter() - began_s
    print(f"\n{report['seconds']:.0f} s, seed {args.seed}, commit {report['commit']}")
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python -m benchmarks.frontier.sidebyside --data DIR"
    )
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--streams", nargs="+", choices=list(STREAMS), default=list(STREAMS))
    parser.add_argument("--seed", type=int, default=0, help="of folds, fits and resampling (0)")
    parser.add_argument("--no-rival", dest="rival", action="store_false", help="no distilroute")
    parser.add_argument("--cache", type=Path, default=_CACHE, help=f"vectors, rival ({_CACHE})")
    parser.add_argument("--out", type=Path, help="everything as JSON")
    return parser.parse_args()


def describe_run(seed: int) -> dict[str, Any]:
    """Commit (None outside a checkout), whether it was changed since, seed and machine."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain")),
        "seed": seed,
        "machine": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _compare(name: str, split: Split, encoder: RememberingEncoder, seed: int) -> dict[str, Any]:
    bounds = _describe_bounds(split)
    how = f"fitted on {len(split.train)} others" if split.train else "five folds"
    print(f"\n{name}: {len(split.test)} rows, {how}")
    print(_HEADER)
    scored: dict[str, tuple[Floats, Floats | None]] = {}
    skipped: dict[str, str] = {}
    for contestant, make in CONTESTANTS.items():
        try:
            scored[contestant] = score_split(make(encoder), split, seed)
        except NotApplicableError as reason:
            skipped[contestant] = str(reason)
    reference = next((scored[name][0] for name in REFERENCES if name in scored), None)
    rankers: dict[str, Any] = {}
    for contestant in CONTESTANTS:
        if contestant in skipped:
            print(f"{contestant:22}   n/a: {skipped[contestant]}")
            rankers[contestant] = {"skipped": skipped[contestant]}
            continue
        measured = measure(*scored[contestant], reference, split, seed)
        print(f"{contestant:22}{format_row(measured)}", flush=True)
        rankers[contestant] = asdict(measured)
    print(
        f"{'oracle':22}{bounds['oracle_apgr']:6.3f}   parity at {bounds['oracle_parity']:.3f}; "
        f"accuracy {bounds['oracle']:.3f}\n{'best single model':22}{bounds['best_single']:6.3f}   "
        f"accuracy of the student {bounds['student']:.3f}, of the teacher {bounds['teacher']:.3f}"
    )
    return {"rows": len(split.test), "fitted_on": len(split.train), **bounds, "rankers": rankers}


def _describe_bounds(split: Split) -> dict[str, float]:
    """Accuracies of both models, and of an oracle that knows the gain of every row."""
    student, teacher = right(split.test)
    oracle = escalation_curve(student - teacher, student, teacher)
    return {
        "student": float(student.mean()),
        "teacher": float(teacher.mean()),
        "best_single": float(max(student.mean(), teacher.mean())),
        "oracle": float(oracle.accuracy.max()),
        "oracle_apgr": apgr(oracle),
        "oracle_parity": parity_share(oracle),
    }


def format_row(measured: Measured) -> str:
    """One line of the table, without the ranker's name."""
    low, high = measured.apgr_interval
    lead = between = ""
    if measured.lead is not None and measured.lead_interval is not None:
        lead = f"{measured.lead:+.3f}"
        between = "[{:+.3f} {:+.3f}]".format(*measured.lead_interval)
    checked = ""
    if measured.calibration is not None:
        found = measured.calibration
        checked = f"{found.error:.3f} (perfect: up to {found.null_95:.3f}, p {found.p_value:.3f})"
    return (
        f"{measured.apgr:6.3f} [{low:.3f} {high:.3f}] {lead:>7} {between:>16} "
        f"{measured.cpt50:6.3f} {measured.cpt80:6.3f} {measured.accuracy_at['0.20']:6.3f} "
        f"{measured.accuracy_at['0.50']:6.3f} {measured.parity_share:6.3f} "
        f"{measured.risk_coverage:6.3f} {measured.share.share:6.3f} "
        f"{measured.share.violated:6.3f}  {checked}"
    )


def _compare_rival(data: Path, seed: int, cache: Path) -> dict[str, Any]:
    rows = read_stream(data / f"streams/{_RIVAL_STREAM}.jsonl.gz")
    try:
        outcome = run_rival(rows, seed, cache)
    except UnavailableError as reason:
        print(f"\ndistilroute: skipped, {reason}")
        return {"skipped": str(reason)}
    served = outcome.agreement_served
    print(
        f"\ndistilroute on {_RIVAL_STREAM}, cold, its default promise of .95 among what it serves: "
        f"asked {outcome.asked_share:.3f}, agreement of all {outcome.agreement:.4f}, "
        f"of those served {'none served' if served is None else f'{served:.4f}'}"
    )
    return {"stream": _RIVAL_STREAM, **asdict(outcome)}


if __name__ == "__main__":
    sys.exit(main())
