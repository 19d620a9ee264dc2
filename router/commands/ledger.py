"""``tutelage ledger verify``: do interactions and ledger agree?"""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from contextlib import closing
from pathlib import Path

from router.commands.opening import open_store
from router.meter.money import show_usd
from router.record.audit import Verdict
from router.settings.load import DEFAULT_CONFIG, find_config, load_settings

_MOST_SHOWN = 50


def add_options(parser: ArgumentParser) -> None:
    """What ``ledger`` takes."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    verify = actions.add_parser(
        "verify",
        help="compare every interaction with the ledger",
        epilog="example: tutelage ledger verify --config tutelage.yaml",
    )
    verify.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the gateway's configuration (./{DEFAULT_CONFIG} where it exists)",
    )
    verify.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: Namespace) -> int:
    """Print what was found. Returns 0 where all of it agrees, else 1. Raises TutelageError."""
    settings = load_settings(find_config(args.config), os.environ, need_secrets=False)
    with closing(open_store(settings)) as store:
        verdict = store.verify_ledger()
    if args.json:
        print(json.dumps(verdict.to_json(), indent=2, ensure_ascii=False))
    else:
        print(_write(verdict))
    return 0 if verdict.agrees else 1


def _write(verdict: Verdict) -> str:
    lines = [
        f"{finding.damage}: {finding.interaction_id or 'the ledger'}"
        f"{'' if finding.n is None else f', attempt {finding.n}'}: {finding.what}"
        for finding in verdict.findings[:_MOST_SHOWN]
    ]
    hidden = len(verdict.findings) - len(lines)
    if hidden:
        lines.append(f"and {hidden:,} more: --json shows them all")
    known = f"{show_usd(verdict.cost_usd)} in {verdict.entries:,} attempts"
    if verdict.unknown:
        known += f", {verdict.unknown:,} of them of unknown cost"
        known += f" ({show_usd(verdict.held_usd)} held for them)"
    judged = "agree" if verdict.agrees else f"don't agree in {len(verdict.findings):,} places"
    lines.append(f"{verdict.interactions:,} interactions and the ledger {judged}: {known}.")
    return "\n".join(lines)
