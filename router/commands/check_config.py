"""``tutelage check-config FILE``: every problem of a configuration at once."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from router.deciding.plugins import find_faults
from router.errors import ConfigError
from router.settings.check import examine_settings
from router.settings.document import parse_document
from router.settings.load import read_settings_file
from router.settings.problems import Problem


def run(path: str, *, as_json: bool) -> int:
    """Print every problem with its line, then a summary. Returns 1 if any is an error, else 0."""
    try:
        text = read_settings_file(Path(path))
    except ConfigError as error:
        if as_json:
            unread = Problem(line=0, key="", message=str(error).rstrip("."))
            print(_as_json(path, [unread], digest=None))
        else:
            print(error, file=sys.stderr)
        return 1
    settings, problems = examine_settings(text, os.environ)
    faults = [] if settings is None else list(find_faults(settings))
    if faults:
        settings, problems = None, [*problems, *(_locate(text, *fault) for fault in faults)]
    if as_json:
        print(_as_json(path, problems, digest=settings.digest if settings else None))
    else:
        for problem in problems:
            print(f"{path}:{problem.line}: {problem.severity}: {problem.sentence}")
        print(_summarize(path, problems))
    return 0 if settings is not None else 1


def _locate(text: str, workload: int, message: str) -> Problem:
    """A plug-in's fault on its workload's line."""
    document = parse_document(text, os.environ)
    return document.problem(("workloads", workload, "policy"), message.rstrip("."))


def _count(problems: list[Problem], severity: str) -> int:
    return sum(problem.severity == severity for problem in problems)


def _summarize(path: str, problems: list[Problem]) -> str:
    errors, warnings = _count(problems, "error"), _count(problems, "warning")
    counts = [
        f"{number} {word}{'' if number == 1 else 's'}"
        for number, word in ((errors, "error"), (warnings, "warning"))
        if number
    ]
    verdict = "can't be used" if errors else "can be used"
    return f"{path} {verdict}: {' and '.join(counts) or 'no problems'}."


def _as_json(path: str, problems: list[Problem], digest: str | None) -> str:
    errors = _count(problems, "error")
    body = {
        "file": path,
        "ok": errors == 0,
        "errors": errors,
        "warnings": _count(problems, "warning"),
        "problems": [asdict(problem) for problem in problems],
        "digest": digest,
    }
    return json.dumps(body, indent=2, ensure_ascii=False)
