"""``python -m tests.supply``: exit 1 where something is wrong with what the locks hold."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path

from tests.supply import advisories, licences
from tests.supply.licences import Allowed, Licensed, look_up
from tests.supply.lock import Pin, check_hashes, check_within, read_lock

_ROOT = Path(__file__).resolve().parents[2]
_ALLOWED = Path(__file__).with_name("allowed.toml")
_LOCK = _ROOT / "requirements.lock"
_DEPLOYED = _ROOT / "requirements-serve.lock"
_TRAIN = _ROOT / "requirements-train.txt"


def _check_locks(whole: Sequence[Pin]) -> Iterator[str]:
    part, wrong = read_lock(_DEPLOYED.read_text())
    yield from wrong
    yield from check_hashes(whole)
    yield from check_within(part, whole)
    yield from read_lock(_TRAIN.read_text())[1]  # by version alone: torch has no one hash


def _show(found: Sequence[Licensed], allowed: Allowed) -> None:
    for one in found:
        settled = allowed.packages.get(one.pin.name)
        licence = one.licence if settled is None else settled[0]
        note = "" if settled is None else f"  ({settled[1]})"
        sys.stdout.write(f"{one.pin.name} {one.pin.version}: {licence}{note}\n")


def main() -> int:
    """Judge, say what was found, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.supply", description=__doc__)
    parser.add_argument("--list", action="store_true", help="every distribution and its licence")
    parser.add_argument("--offline", action="store_true", help="look up no vulnerabilities")
    args = parser.parse_args()
    given = tomllib.loads(_ALLOWED.read_text())
    has_training = any(one.name == "torch" for one in distributions())
    allowed = Allowed(
        licences=given["licences"] | (given["training"] if has_training else {}),
        packages={name: (one["licence"], one["why"]) for name, one in given["packages"].items()},
    )
    pins, wrong = read_lock(_LOCK.read_text())
    wrong += _check_locks(pins)
    training = read_lock(_TRAIN.read_text())[0] if has_training else []
    known = {pin.name: pin for pin in [*pins, *training]}
    found = [look_up(pin) for pin in known.values()]
    wrong += licences.judge(found, allowed)
    if args.list:
        _show(found, allowed)
    report = "not looked up" if args.offline else advisories.ask(_DEPLOYED)
    told = _tell(report)
    if not isinstance(report, str):
        wrong += advisories.judge(report, given["advisories"])
    for sentence in wrong:
        sys.stderr.write(f"{sentence}\n")
    sys.stdout.write(
        f"{len(found)} distributions, {len(training)} of them for training:"
        f" {len(wrong)} things wrong; vulnerabilities: {told}.\n"
    )
    return 1 if wrong else 0


def _tell(report: advisories.Report | str) -> str:
    if isinstance(report, str):
        return report
    if not report.looked_up:
        return "none could be looked up, since the index here tells nothing about them"
    return f"{len(report.found)} known in {report.looked_up} of {report.asked} looked up"


if __name__ == "__main__":
    sys.exit(main())
