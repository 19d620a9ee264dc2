"""The command ``tutelage``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router.commands import check_config, explain, frontier, keys, ledger, serve, student
from router.errors import TutelageError, UsageError
from router.settings.load import DEFAULT_CONFIG

if TYPE_CHECKING:
    from argparse import _SubParsersAction

COMMAND_GROUP = "tutelage.commands"
"""Entry points that add commands: functions that take argparse's subparsers."""

_INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""

_OWN_COMMANDS = ("serve", "check-config", "explain", "frontier", "keys", "ledger", "student")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: 0 on success, 1 when it failed, 2 on bad usage, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if argv is None else argv
    # What the gateway is made of must not include the learning plane's packages.
    own = bool(arguments) and arguments[0] in _OWN_COMMANDS
    try:
        args = _build_parser(more=not own).parse_args(arguments)
        code: int = args.run(args)
    except TutelageError as error:
        print(f"tutelage: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:
        # Whoever read the output has enough; the interpreter would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _build_parser(*, more: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tutelage",
        description="A cost-aware LLM gateway whose small model learns from the large one.",
    )
    parser.add_argument("--version", action="version", version=version("tutelage"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    gateway = commands.add_parser(
        "serve", help="the gateway", epilog="example: tutelage serve --config tutelage.yaml"
    )
    gateway.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the configuration (./{DEFAULT_CONFIG} where it exists)",
    )
    gateway.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes behind one address (server.workers of the configuration)",
    )
    gateway.set_defaults(run=lambda args: serve.run(args.config, args.workers))
    check = commands.add_parser(
        "check-config",
        help="every error of a configuration at once",
        epilog="example: tutelage check-config tutelage.yaml",
    )
    check.add_argument("file", metavar="FILE", help="the configuration")
    check.add_argument("--json", action="store_true", help="machine-readable output")
    check.set_defaults(run=lambda args: check_config.run(args.file, as_json=args.json))
    _add_explain(commands)
    frontiers = commands.add_parser(
        "frontier",
        help="predicted cost and agreement of every threshold, from what was logged",
        epilog="example: tutelage frontier --workload support-intent --usd-per-interaction 0.002",
    )
    frontier.add_options(frontiers)
    frontiers.set_defaults(run=frontier.run)
    student.register(commands)
    money = commands.add_parser(
        "ledger",
        help="what was spent: does the ledger agree with the interactions?",
        epilog="example: tutelage ledger verify --json",
    )
    ledger.add_options(money)
    money.set_defaults(run=ledger.run)
    callers = commands.add_parser(
        "keys",
        help="callers' keys: create, list, revoke",
        epilog="example: tutelage keys create shop --budget-usd 20 --per day",
    )
    keys.add_options(callers)
    callers.set_defaults(run=keys.run)
    for found in entry_points(group=COMMAND_GROUP) if more else ():
        found.load()(commands)
    return parser


def _add_explain(commands: _SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "explain",
        help="why an interaction was answered as it was, or how a request would be",
        epilog="example: tutelage explain --request body.json --config tutelage.yaml",
    )
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("id", nargs="?", metavar="ID", help="of a recorded interaction")
    subject.add_argument(
        "--request", type=Path, metavar="FILE", help="a chat-completions body; nothing is sent"
    )
    parser.add_argument("--key", metavar="NAME", help="the key whose request it would be")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the gateway's configuration (./{DEFAULT_CONFIG} where it exists)",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(
        run=lambda args: explain.run(
            args.id, args.request, args.config, key=args.key, as_json=args.json
        )
    )
