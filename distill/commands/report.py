"""``tutelage report``: what a period cost, and how good its answers were."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.commands.common import add_json, add_own_config, open_workplace, read_count
from distill.report.gather import gather
from distill.report.page import write_page
from distill.report.paper import print_page
from distill.report.period import Period, between, last_weeks
from router.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_EPILOG = (
    "example: tutelage report --config tutelage.yaml --weeks 1 --out report.html\n\n"
    "The same period gives the same page, byte for byte, once it is over. A PDF is printed by an\n"
    "installed Chromium, Chrome or Edge."
)


def register(commands: _SubParsersAction[Any]) -> None:
    """Add ``report`` to the commands."""
    parser = commands.add_parser(
        "report",
        help="cost and quality of a week, or of another period, as a page",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--weeks", type=read_count, metavar="N", help="the last N whole weeks, in UTC (1)"
    )
    parser.add_argument("--from", dest="first", type=_read_day, metavar="DAY", help="first day")
    parser.add_argument(
        "--to", dest="end", type=_read_day, metavar="DAY", help="first day that is left out"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the page")
    parser.add_argument("--pdf", type=Path, metavar="FILE", help="print the page to a PDF")
    add_own_config(parser)
    add_json(parser)
    parser.set_defaults(run=_report)


def _read_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} must be a day such as 2026-01-05") from None


def _report(args: Namespace) -> int:
    if args.out is None and args.pdf is None and not args.json:
        raise UsageError("Say where the report goes: --out report.html, --pdf report.pdf, --json.")
    for file in (args.out, args.pdf):
        if file is not None and (file.is_dir() or not file.parent.is_dir()):
            raise ConfigError(f"{file} can't be written: name a file in a folder that exists.")
    now_s = time.time()
    period = _choose_period(args, now_s)
    with open_workplace(args.config) as place:
        report = gather(place.store, place.settings, period)
        kept_from_s = now_s - place.settings.data.retention_days * 86_400
    for warning in _warn(period, now_s, kept_from_s):
        print(warning, file=sys.stderr)
    if args.out is not None:
        args.out.write_text(write_page(report), encoding="utf-8")
    if args.pdf is not None:
        print_page(write_page(report), args.pdf)
    if args.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    return 0


def _choose_period(args: Namespace, now_s: float) -> Period:
    if args.first is None and args.end is None:
        return last_weeks(args.weeks or 1, now_s)
    if args.weeks is not None or args.first is None or args.end is None:
        raise UsageError("Give --from and --to together, or --weeks alone.")
    return between(args.first, args.end)


def _warn(period: Period, now_s: float, kept_from_s: float) -> list[str]:
    """What the reader should know and the page can't say, since it depends on the day."""
    found = []
    if period.end_s > now_s:
        found.append("The period isn't over: the figures will change.")
    if period.before.start_s < kept_from_s:
        found.append(
            "A part of the two periods is older than data.retention_days: its records are deleted,"
            " and only calls and tokens count them."
        )
    return found
