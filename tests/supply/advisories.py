"""Known vulnerabilities, by pip-audit in an environment of its own, where an index tells them."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SETUP = Path(__file__).with_name("setup.sh")
_PATIENCE_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """``looked_up``: distributions that the index knows; ``found``: (distribution, advisory)."""

    looked_up: int
    asked: int
    found: tuple[tuple[str, str], ...]


def ask(lock: Path) -> Report | str:
    """What is known of a lock's distributions; a sentence where that can't be learned here."""
    try:
        folder = subprocess.run(
            ["sh", str(SETUP)], capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        ).stdout.strip()
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "report.json"
            command = [f"{folder}/bin/pip-audit", "--requirement", str(lock), "--disable-pip"]
            command += ["--format", "json", "--output", str(out), "--timeout", "15"]
            subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False)
            return read_report(json.loads(out.read_bytes()))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return f"pip-audit can't be had or can't reach its source ({type(error).__name__})"


def read_report(given: Mapping[str, Any]) -> Report:
    """pip-audit's JSON; what it passed over was not looked up."""
    known = [one for one in given["dependencies"] if "vulns" in one]
    found = [(one["name"], each["id"]) for one in known for each in one["vulns"]]
    return Report(
        looked_up=len(known), asked=len(given["dependencies"]), found=tuple(sorted({*found}))
    )


def judge(report: Report, accepted: Mapping[str, str]) -> Iterator[str]:
    """Every vulnerability that isn't accepted, and every acceptance that nobody needs."""
    met = {advisory for _, advisory in report.found}
    for name, advisory in report.found:
        if advisory not in accepted:
            yield f"{name}: {advisory} is known and neither mended nor accepted"
    if report.looked_up == report.asked:
        for advisory in sorted(accepted.keys() - met):
            yield f"{advisory} is in [advisories] and concerns nothing any more"
