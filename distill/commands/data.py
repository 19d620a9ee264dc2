"""``tutelage data import | erase | purge``."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.commands.common import (
    Workplace,
    add_json,
    add_own_config,
    open_workplace,
    read_count,
    read_settings,
)
from distill.dataset.erasing import Withdrawn, erase, expire, trained_on
from distill.dataset.folder import list_kept
from distill.dataset.model import Source
from distill.launch.choose import forget_jobs
from distill.logs import Importer
from distill.wording import count_of
from router.auth import Caller
from router.errors import ConfigError
from router.record.learning import cycle_lease
from router.record.model import Interaction, Release
from router.record.redact import Redactor
from router.record.store import Store
from router.record.subject import pseudonym_of
from router.retention import oldest_kept
from router.settings.model import Settings

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_SHORT = 12
_BATCH = 500


def register(commands: _SubParsersAction[Any]) -> None:
    """Add ``data`` to the commands."""
    parser = commands.add_parser("data", help="what is kept: import, erase, purge")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    imports = actions.add_parser(
        "import",
        help="a log of OpenAI-format requests and responses into the record",
        epilog="example: tutelage data import log.jsonl --workload support-intent",
    )
    imports.add_argument("log", type=Path, metavar="LOG", help="JSON lines, plain or gzipped")
    imports.add_argument("--workload", metavar="W", help="a name; else found as the gateway does")
    imports.add_argument("--teacher", metavar="MODEL", help="the configured model that answered")
    imports.add_argument("--key", metavar="NAME", help="the configured key whose traffic it is")
    imports.set_defaults(run=_import)
    erasing = actions.add_parser(
        "erase",
        help="forget a key or a user, in records and datasets; names the releases that learned",
        epilog="example: tutelage data erase --user customer-4711",
    )
    whom = erasing.add_mutually_exclusive_group(required=True)
    whom.add_argument("--key", metavar="NAME", help="all that came by this key")
    whom.add_argument("--user", metavar="ID", help="all that named this user")
    erasing.add_argument("--tenant", metavar="T", help="with --user: only this tenant's")
    erasing.set_defaults(run=_erase)
    purge = actions.add_parser(
        "purge",
        help="delete what is older than data.retention_days, or than another age",
        epilog="example: tutelage data purge --older-than-days 30",
    )
    purge.add_argument("--older-than-days", type=read_count, metavar="DAYS")
    purge.set_defaults(run=_purge)
    for action in (imports, erasing, purge):
        add_own_config(action)
        add_json(action)


def _import(args: Namespace) -> int:
    settings = read_settings(args.config)
    now = time.time()
    importer = Importer(
        settings=settings,
        redactor=Redactor(settings.data.redact),
        caller=_find_caller(settings, args.key),
        teacher=_find_teacher(settings, args.teacher),
        workload=args.workload,
        oldest=oldest_kept(settings.data.retention_days, now),
        now=now,
    )
    left_out: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    new = 0
    store = Store.open(settings.store.url)
    try:
        for batch in _in_batches(importer.read(args.log, left_out)):
            new += store.append(batch)
            taken.update(record.workload for record in batch)
    finally:
        store.close()
    read = sum(taken.values())
    if args.json:
        report = {"read": read, "new": new, "workloads": dict(taken), "left_out": dict(left_out)}
        print(json.dumps(report, indent=2))
    else:
        print(f"{count_of(read, 'exchange')} read, {new:,} of them new.")
        for workload, count in taken.most_common():
            print(f"  {workload}: {count:,}")
        for reason, count in left_out.most_common():
            print(f"  left out: {count:,}, {reason}")
        for problem in _find_obstacles(settings, importer):
            print(problem)
    return 0 if read else 1


def _find_caller(settings: Settings, name: str | None) -> Caller:
    if not settings.keys and name is None:
        return Caller(key_name="", tenant="", train_on=True)
    for key in settings.keys:
        if key.name == name:
            return Caller(key_name=key.name, tenant=key.tenant, train_on=key.train_on)
    known = ", ".join(key.name for key in settings.keys) or "none"
    if name is None:
        raise ConfigError(f"Say whose traffic it is, with --key; there are: {known}.")
    raise ConfigError(f"There is no key {name!r} in the configuration; there are: {known}.")


def _find_teacher(settings: Settings, name: str | None) -> str:
    chosen = settings.teacher_key if name is None else name
    known = [key for key, model in settings.models.items() if model.kind == "openai"]
    if chosen is None or chosen not in known:
        listed = ", ".join(known) or "none"
        raise ConfigError(
            f"Say which configured model answered, with --teacher; there are: {listed}."
        )
    return chosen


def _find_obstacles(settings: Settings, importer: Importer) -> list[str]:
    """Why nothing will be learned from what was imported."""
    found = []
    if settings.models[importer.teacher].distillation != "allowed":
        found.append(
            f"Nothing is learned from it: models.{importer.teacher}.distillation isn't allowed."
        )
    if not importer.caller.train_on:
        found.append(
            f"Nothing is learned from it: the key {importer.caller.key_name} has no train_on: true."
        )
    return found


def _in_batches(records: Iterator[Interaction]) -> Iterator[list[Interaction]]:
    while batch := list(islice(records, _BATCH)):
        yield batch


def _erase(args: Namespace) -> int:
    with open_workplace(args.config) as place:
        store, now = place.store, time.time()
        if args.key is not None:
            ids = store.erase_key(args.key)
        else:
            ids = store.erase_user(args.user, args.tenant)
        withdrawn = erase(place.datasets, _chosen(args, place, set(ids)), now)
        forget_jobs(place.settings)
        releases = trained_on(store.releases(), withdrawn)
        report = _describe(len(ids), withdrawn, releases)
        kept = {one.digest for one in list_kept(place.datasets)}
        untold = [r.digest for r in store.releases() if r.dataset not in kept]
        running = any(
            cycle.ended_at is None and store.leased_until(cycle_lease(cycle.workload)) > now
            for cycle in store.cycles(100)
        )
    report |= {"releases_without_dataset": untold, "cycle_running": running}
    _tell(args, report, "erased")
    if not args.json:
        if untold:
            print(
                f"{count_of(len(untold), 'release')} can't be told of, since their datasets aren't "
                f"kept: {', '.join(digest[:_SHORT] for digest in untold)}."
            )
        if running:
            print("A learning cycle is running; erase again when it has ended.")
    return 0


def _chosen(args: Namespace, place: Workplace, ids: set[str]) -> Callable[[Source], bool]:
    """Whether a source is to go: also where its record went before it."""
    if args.key is not None:
        return lambda source: source.key_name == args.key or source.id in ids
    tenants = {str(kept.manifest["tenant"]) for kept in list_kept(place.datasets)}
    named = tenants if args.tenant is None else {args.tenant}
    names = {pseudonym_of(tenant, args.user) for tenant in named}
    return lambda source: source.user in names or source.id in ids


def _purge(args: Namespace) -> int:
    with open_workplace(args.config) as place:
        now = time.time()
        days = args.older_than_days or place.settings.data.retention_days
        oldest = oldest_kept(days, now)
        count = place.store.purge_before(oldest)
        withdrawn = expire(place.datasets, oldest, now)
        releases = trained_on(place.store.releases(), withdrawn)
    _tell(args, _describe(count, withdrawn, releases), "purged")
    return 0


def _describe(records: int, withdrawn: list[Withdrawn], releases: list[Release]) -> dict[str, Any]:
    return {
        "records": records,
        "datasets": [
            {"digest": one.digest, "workload": one.workload, "successor": one.successor}
            for one in withdrawn
        ],
        "releases": [
            {"digest": r.digest, "workload": r.workload, "number": r.number, "state": r.state}
            for r in releases
        ],
    }


def _tell(args: Namespace, report: dict[str, Any], done: str) -> None:
    if args.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{count_of(report['records'], 'record')} {done}.")
    for one in report["datasets"]:
        rest = "nothing is left" if one["successor"] is None else f"now {one['successor'][:_SHORT]}"
        print(f"dataset {one['digest'][:_SHORT]} of {one['workload']} withdrawn; {rest}")
    for one in report["releases"]:
        print(
            f"release #{one['number']} {one['digest'][:_SHORT]} of {one['workload']} "
            f"({one['state']}) learned from it"
        )
    if any(one["state"] == "active" for one in report["releases"]):
        print("What is in force can be replaced: tutelage distill run --config FILE.")
