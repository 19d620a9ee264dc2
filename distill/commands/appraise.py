"""``tutelage appraise LOG``: what a log cost, and what a student could have taken over."""

from __future__ import annotations

import json
from argparse import Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.appraise.appraisal import Conditions, appraise, to_json
from distill.appraise.forecast import MIN_RUNS
from distill.appraise.log import read_log
from distill.appraise.page import write_page
from distill.appraise.text import describe
from distill.commands.common import (
    add_config,
    add_json,
    read_count,
    read_seed,
    read_share,
    read_usd,
)
from distill.commands.progress import Progress
from router.errors import ConfigError, UsageError
from router.settings.load import load_settings
from router.settings.model import ModelSettings, Price, PromiseSettings, Settings

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_RUNS = 5
_MOST = 10_000
_EPILOG = (
    "example: tutelage appraise requests.jsonl --promise 0.97 --html report.html\n\n"
    "a line of a log, as OpenAI's client sends and gets it:\n"
    '{"request": {"messages": [...]}, "response": {"choices": [...], "usage": {...}, '
    '"created": 1767225600}}\n'
    "Recorded streams and a gateway's own SQLite store are read too."
)


def register(commands: _SubParsersAction[Any]) -> None:
    """Add ``appraise`` to the commands."""
    parser = commands.add_parser(
        "appraise",
        help="measure a log that you have: its cost, and what a student could take",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("log", type=Path, metavar="LOG", help="JSON lines, plain or .gz; a store")
    add_config(parser)
    parser.add_argument(
        "--promise", type=read_share, default=0.95, metavar="P", help="agreement to keep (0.95)"
    )
    parser.add_argument(
        "--confidence", type=read_share, default=0.95, metavar="C", help="of the promise (0.95)"
    )
    parser.add_argument(
        "--input-usd", type=read_usd, metavar="USD", help="price of a million input tokens"
    )
    parser.add_argument(
        "--output-usd", type=read_usd, metavar="USD", help="price of a million output tokens"
    )
    parser.add_argument(
        "--runs",
        type=read_count,
        default=_RUNS,
        metavar="N",
        help=f"replays that the intervals come from, at least {MIN_RUNS} ({_RUNS})",
    )
    parser.add_argument(
        "--limit",
        type=read_count,
        default=_MOST,
        metavar="N",
        help=f"newest requests of a workload that are replayed ({_MOST})",
    )
    parser.add_argument("--seed", type=read_seed, default=0, help="of the first replay (0)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    add_json(parser)
    parser.set_defaults(run=_appraise)


def _appraise(args: Namespace) -> int:
    if args.runs < MIN_RUNS:
        raise UsageError(f"An interval takes at least {MIN_RUNS} replays: give --runs {_RUNS}.")
    for path in (args.html, args.out):
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise ConfigError(f"{path} can't be written: name a file in a folder that exists.")
    settings = _read_settings(args)
    log = read_log(args.log, settings)
    progress = Progress()
    appraisal = appraise(
        log,
        settings,
        Conditions(
            promise=PromiseSettings(agreement=args.promise, confidence=args.confidence),
            runs=args.runs,
            seed=args.seed,
            most=args.limit,
        ),
        lambda what: lambda done, total, _: progress.tell(done, total, what),
    )
    progress.end()
    figures = json.dumps(to_json(appraisal), indent=2, ensure_ascii=False)
    if args.out is not None:
        args.out.write_text(figures + "\n", encoding="utf-8")
    if args.html is not None:
        args.html.write_text(write_page(appraisal), encoding="utf-8")
    print(figures if args.json else "\n".join(describe(appraisal)))
    return 0


def _read_settings(args: Namespace) -> Settings:
    """The configuration's, else a teacher whose answers may be learned from."""
    if (args.input_usd is None) != (args.output_usd is None):
        raise UsageError("--input-usd and --output-usd belong together: give both.")
    price = None
    if args.input_usd is not None:
        price = Price(input=args.input_usd, output=args.output_usd)
    if args.config is not None:
        if price is not None:
            raise UsageError("Prices come from --config where it is given: leave --input-usd out.")
        return load_settings(args.config, {}, need_secrets=False)
    teacher = ModelSettings(
        upstream="http://recorded.invalid/v1", model="recorded", distillation="allowed", price=price
    )
    return Settings(models={"teacher": teacher})
