"""``tutelage demo``: everything at work on one machine."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.commands.common import add_config, add_json, read_count, read_share
from distill.demo.processes import DemoError
from distill.demo.run import PROMISE, Demonstrated, Plan, demonstrate, describe, read_rows
from distill.demo.traffic import Pace
from router.errors import ConfigError
from router.settings.load import load_settings
from router.settings.model import Settings

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_RATE = 20.0
_CONCURRENCY = 8


def register(commands: _SubParsersAction[Any]) -> None:
    """Add ``demo`` to the commands."""
    parser = commands.add_parser(
        "demo",
        help="a stand-in teacher, the gateway, the learning loop and traffic, on this machine",
        epilog="example: tutelage demo --headless --out demo.json",
    )
    add_config(parser)
    parser.add_argument(
        "--stream", type=Path, metavar="FILE", help="recorded queries; else the built-in ones"
    )
    parser.add_argument("--headless", action="store_true", help="end when the traffic does")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the result as JSON")
    parser.add_argument(
        "--promise",
        type=read_share,
        metavar="P",
        help=f"agreement to promise (the configuration's, else {PROMISE:g})",
    )
    parser.add_argument("--limit", type=read_count, metavar="N", help="only N queries")
    parser.add_argument("--seed", type=int, default=0, help="of the order of a stream (0)")
    parser.add_argument(
        "--rate", type=_read_rate, default=_RATE, help=f"requests per second at most ({_RATE:g})"
    )
    parser.add_argument(
        "--concurrency",
        type=read_count,
        default=_CONCURRENCY,
        metavar="N",
        help=f"requests open at a time at most ({_CONCURRENCY})",
    )
    parser.add_argument("--port", type=_read_port, default=0, help="the gateway's (a free one)")
    add_json(parser)
    parser.set_defaults(run=_demo)


def _read_rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise ArgumentTypeError(f"{text!r} must be a number above 0")
    return rate


def _read_port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise ArgumentTypeError(f"{text!r} must be a port from 0 to 65535")
    return int(text)


def _demo(args: Namespace) -> int:
    if args.out is not None and not args.out.parent.is_dir():
        raise ConfigError(f"There is no folder {args.out.parent} to write {args.out.name} into.")
    plan = Plan(
        stream=args.stream,
        settings=_read_settings(args.config),
        promise=args.promise,
        limit=args.limit,
        seed=args.seed,
        pace=Pace(rate=args.rate, concurrency=args.concurrency),
        port=args.port,
    )
    rows = read_rows(plan)
    for sentence in describe(plan, rows):
        _say(sentence)
    # What a script starts in the background inherits that SIGINT is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Children are to be ended then too. As a Ctrl-C the event loop turns it into a cancellation;
    # raised where the loop happens to be, it would be the exception of any task.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    shown: list[Demonstrated] = []

    def afterwards(one: Demonstrated) -> None:
        shown.append(one)
        if args.out is not None:
            args.out.write_text(json.dumps(one.result, indent=2) + "\n", encoding="utf-8")
        print(json.dumps(one.result) if args.json else f"\n{one.table}", flush=True)
        if not args.headless:
            _say(f"\nThe dashboard stays at {one.result['dashboard']} until Ctrl-C.")
            threading.Event().wait()

    try:
        with tempfile.TemporaryDirectory(
            prefix="tutelage-demo-", ignore_cleanup_errors=True
        ) as folder:
            demonstrate(plan, rows, Path(folder), say=_say, afterwards=afterwards)
    except KeyboardInterrupt:
        if not shown:
            raise DemoError("The demo was stopped before its end.") from None
    return 0 if shown[0].succeeded else 1


def _read_settings(config: Path | None) -> Settings | None:
    """The demo has a teacher of its own: the configuration's isn't called."""
    return None if config is None else load_settings(config, os.environ, need_secrets=False)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
