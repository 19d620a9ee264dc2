"""``tutelage releases list | try | promote | rollback | adopt | card``."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.commands.card import add_card
from distill.commands.common import (
    Workplace,
    add_json,
    add_own_config,
    describe_time,
    open_workplace,
)
from distill.generative import adopt
from distill.learner import terms_of
from distill.trial import put_on_trial
from router.errors import StoreError, UsageError
from router.promotion import find_release, promote, roll_back
from router.record.model import Release

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_SHORT = 12


def register(commands: _SubParsersAction[Any]) -> None:
    """Add ``releases`` to the commands."""
    parser = commands.add_parser(
        "releases", help="releases: list, try, promote, rollback, adopt, card"
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser(
        "list", help="all releases, newest first", epilog="example: tutelage releases list"
    )
    listing.add_argument("--workload", metavar="W")
    listing.set_defaults(run=_list)
    trying = actions.add_parser(
        "try",
        help="try a candidate on live traffic: in the shadow, then for a share of it",
        epilog="example: tutelage releases try 3f9c1a2b",
    )
    trying.add_argument("digest", help="its digest, or the first 6 or more characters of it")
    trying.set_defaults(run=_try)
    promoting = actions.add_parser(
        "promote",
        help="put a release in force",
        epilog="example: tutelage releases promote 3f9c1a2b",
    )
    promoting.add_argument("digest", help="its digest, or the first 6 or more characters of it")
    promoting.set_defaults(run=_promote)
    rollback = actions.add_parser(
        "rollback",
        help="end a canary; else back to the release before, without one to the teacher",
        epilog="example: tutelage releases rollback support-intent",
    )
    rollback.add_argument("workload", metavar="W")
    rollback.set_defaults(run=_rollback)
    adopting = actions.add_parser(
        "adopt",
        help="enter a generative student that was made elsewhere as a candidate",
        epilog="example: tutelage releases adopt runs/7 --workload invoices",
    )
    adopting.add_argument(
        "folder", nargs="?", type=Path, help="an adapter, as peft writes it; else whole weights"
    )
    adopting.add_argument("--base", metavar="NAME", help="what the servers call it, or its base")
    adopting.add_argument("--workload", metavar="W", required=True)
    adopting.set_defaults(run=_adopt)
    for action in (listing, trying, promoting, rollback, adopting):
        add_own_config(action)
        add_json(action)
    add_card(actions)


def _list(args: Namespace) -> int:
    with open_workplace(args.config) as place:
        found = place.store.releases(args.workload)
        if not found and args.workload is not None:
            _require_known(place, args.workload)
    if args.json:
        print(json.dumps([asdict(release) for release in found], indent=2))
        return 0
    if not found:
        print("No releases yet.")
    for release in found:
        print(
            f"{release.workload}  #{release.number}  {release.digest[:_SHORT]}  "
            f"{release.state:<9}  made {describe_time(release.created_at)}  "
            f"promoted {describe_time(release.promoted_at)}"
        )
    return 0


def _require_known(place: Workplace, workload: str) -> None:
    known = {one.name for one in place.settings.workloads}.union(
        place.store.workloads(), (release.workload for release in place.store.releases())
    )
    if workload not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise StoreError(f"Workload {workload!r} is not known; there are: {listed}.")


def _try(args: Namespace) -> int:
    with open_workplace(args.config) as place:
        workload = find_release(place.store, args.digest).workload
        confidence = terms_of(place.settings, workload).confidence
        now = time.time()
        chosen, reason = put_on_trial(place.settings, place.store, args.digest, confidence, now)
    if args.json:
        print(json.dumps({"workload": workload, "release": chosen.digest, "stage": reason}))
    else:
        print(f"{workload}: release #{chosen.number} {chosen.digest[:_SHORT]} {reason}.")
    return 0


def _promote(args: Namespace) -> int:
    with open_workplace(args.config) as place:
        chosen = promote(place.store, args.digest, "promoted by hand")
    _confirm(args, chosen.workload, chosen)
    return 0


def _rollback(args: Namespace) -> int:
    with open_workplace(args.config) as place:
        chosen = roll_back(place.store, args.workload, "rolled back by hand")
    _confirm(args, args.workload, chosen)
    return 0


def _adopt(args: Namespace) -> int:
    if args.folder is None and args.base is None:
        raise UsageError("Give an adapter's folder, or --base with the name of a model.")
    with open_workplace(args.config) as place:
        entered = adopt(
            place.settings,
            place.store,
            place.settings.store.beside("releases").absolute(),
            args.workload,
            source=args.folder,
            base=args.base,
        )
    if args.json:
        print(json.dumps({"workload": args.workload, "release": entered.digest}))
    else:
        print(
            f"{args.workload}: release #{entered.number} {entered.digest[:_SHORT]} is a candidate;"
            f" try it on live traffic with tutelage releases try {entered.digest[:_SHORT]}, or put"
            " it in force with promote."
        )
    return 0


def _confirm(args: Namespace, workload: str, release: Release | None) -> None:
    if args.json:
        digest = None if release is None else release.digest
        print(json.dumps({"workload": workload, "release": digest}))
    elif release is None:
        print(f"{workload}: no release is in force; the teacher answers.")
    else:
        print(f"{workload}: release #{release.number} {release.digest[:_SHORT]} is in force.")
