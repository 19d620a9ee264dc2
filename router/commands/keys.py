"""``tutelage keys create|list|rotate|revoke``: callers' keys, while the gateway runs."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import secrets
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from router.errors import UsageError
from router.meter.money import plain_usd, show_usd, usd
from router.record.keys import StoredKey
from router.record.store import Store
from router.settings.limit_rules import explain_scope
from router.settings.load import DEFAULT_CONFIG, find_config, load_settings
from router.settings.model import Settings

_PREFIX = "tk-"
_KEY_BYTES = 32
_PERIODS = ("hour", "day", "week", "month")
_HOUR_S = 3_600.0
_DAY_S = 86_400.0


def add_options(parser: ArgumentParser) -> None:
    """What ``keys`` takes."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser(
        "create",
        help="a new key; it is shown once",
        epilog="example: tutelage keys create shop --budget-usd 20 --per day --train-on",
    )
    create.add_argument("name", metavar="NAME", help="what records and reports call it")
    create.add_argument("--tenant", metavar="T", help="whose it is (NAME)")
    create.add_argument("--train-on", action="store_true", help="its traffic may be learned from")
    create.add_argument("--budget-usd", type=_read_usd, metavar="USD", help="it may spend so much")
    create.add_argument("--per", choices=_PERIODS, default="day", help="of the budget (day)")
    create.add_argument("--requests-per-minute", type=_read_count, metavar="N")
    create.add_argument("--tokens-per-minute", type=_read_count, metavar="N")
    create.add_argument(
        "--scope",
        action="append",
        default=[],
        type=_read_scope,
        metavar="KIND:NAME",
        help="it may use this alone: an endpoint:, model: or workload: (globs; repeatable)",
    )
    create.add_argument("--days", type=_read_count, metavar="N", help="it expires after so many")
    create.set_defaults(act=_create)
    listing = actions.add_parser(
        "list", help="all keys, without the keys", epilog="example: tutelage keys list --json"
    )
    listing.set_defaults(act=_list)
    rotate = actions.add_parser(
        "rotate",
        help="another key for the same caller; it is shown once",
        epilog="example: tutelage keys rotate shop --overlap-hours 24",
    )
    rotate.add_argument("name", metavar="NAME")
    rotate.add_argument(
        "--overlap-hours",
        type=_read_count,
        default=0,
        metavar="N",
        help="the key before is let in for so long (it is out at once)",
    )
    rotate.set_defaults(act=_rotate)
    revoke = actions.add_parser(
        "revoke",
        help="let a key in no more, within a second",
        epilog="example: tutelage keys revoke shop",
    )
    revoke.add_argument("name", metavar="NAME")
    revoke.set_defaults(act=_revoke)
    for action in (create, listing, rotate, revoke):
        action.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            help=f"the gateway's configuration (./{DEFAULT_CONFIG} where it exists)",
        )
        action.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: Namespace) -> int:
    """Do one of them. The store is made where there is none yet. Raises TutelageError."""
    settings = load_settings(find_config(args.config), os.environ, need_secrets=False)
    with closing(Store.open(settings.store.url)) as store:
        args.act(args, settings, store)
    return 0


def _create(args: Namespace, settings: Settings, store: Store) -> None:
    if args.name in {key.name for key in settings.keys}:
        raise UsageError(f"The configuration has a key {args.name!r} already: choose another name.")
    key = _draw_key()
    kept = store.add_key(
        StoredKey(
            name=args.name,
            tenant=args.tenant or args.name,
            sha256=_digest(key),
            train_on=args.train_on,
            budget_usd=args.budget_usd,
            budget_per=None if args.budget_usd is None else args.per,
            requests_per_minute=args.requests_per_minute,
            tokens_per_minute=args.tokens_per_minute,
            scopes=tuple(args.scope),
            expires_at=None if args.days is None else time.time() + args.days * _DAY_S,
        )
    )
    _show_once(args, kept, key)


def _draw_key() -> str:
    return _PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _show_once(args: Namespace, kept: StoredKey, key: str) -> None:
    if args.json:
        print(json.dumps({**_write(kept), "key": key}))
        return
    print(key)
    print(
        f"This key of {kept.name} is shown this once; a running gateway takes it within a second."
    )


def _rotate(args: Namespace, settings: Settings, store: Store) -> None:
    _refuse_configured(args.name, settings, "put another digest there")
    key = _draw_key()
    kept = store.rotate_key(args.name, _digest(key), args.overlap_hours * _HOUR_S)
    _show_once(args, kept, key)


def _list(args: Namespace, settings: Settings, store: Store) -> None:
    stored = store.keys()
    configured = [
        {"name": key.name, "tenant": key.tenant, "train_on": key.train_on, "from": "configuration"}
        for key in settings.keys
    ]
    if args.json:
        print(json.dumps({"keys": [*configured, *(_write(key) for key in stored)]}))
        return
    for one in configured:
        print(f"{one['name']} (tenant {one['tenant']}): in the configuration")
    for key in stored:
        print(f"{key.name} (tenant {key.tenant}): {_describe(key)}")
    if not configured and not stored:
        print("There are no keys: the gateway listens on this machine alone.")


def _revoke(args: Namespace, settings: Settings, store: Store) -> None:
    _refuse_configured(args.name, settings, "remove it there")
    store.revoke_key(args.name)
    print(json.dumps({"revoked": args.name}) if args.json else f"{args.name} is let in no more.")


def _refuse_configured(name: str, settings: Settings, advice: str) -> None:
    if name in {key.name for key in settings.keys}:
        raise UsageError(f"The key {name!r} stands in the configuration: {advice}.")


def _write(key: StoredKey) -> dict[str, Any]:
    """For machines, without the digest."""
    return {
        "name": key.name,
        "tenant": key.tenant,
        "train_on": key.train_on,
        "budget": None
        if key.budget_usd is None
        else {"usd": plain_usd(key.budget_usd), "per": key.budget_per},
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
        "scopes": list(key.scopes),
        "previous_until": key.previous_until,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "from": "store",
    }


def _describe(key: StoredKey) -> str:
    said = [] if key.is_valid(time.time()) else ["no longer valid"]
    if key.budget_usd is not None:
        said.append(f"{show_usd(key.budget_usd)} a {key.budget_per}")
    if key.requests_per_minute is not None:
        said.append(f"{key.requests_per_minute} requests a minute")
    if key.tokens_per_minute is not None:
        said.append(f"{key.tokens_per_minute} tokens a minute")
    said += key.scopes
    if key.previous_until is not None and key.previous_until > time.time():
        said.append(f"the key before is let in until {_show_moment(key.previous_until)}")
    if key.expires_at is not None:
        said.append(f"until {_show_day(key.expires_at)}")
    said.append("may be learned from" if key.train_on else "not learned from")
    return ", ".join(said)


def _show_day(at_s: float) -> str:
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC).strftime("%Y-%m-%d")


def _show_moment(at_s: float) -> str:
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _read_scope(text: str) -> str:
    problem = explain_scope(text)
    if problem is not None:
        raise ArgumentTypeError(f"{text!r} {problem}")
    return text


def _read_usd(text: str) -> Decimal:
    try:
        amount = usd(text)
    except ValueError:
        amount = Decimal(0)
    if not 0 < amount <= 1_000_000:
        raise ArgumentTypeError(f"{text!r} must be an amount of USD such as 20")
    return amount


def _read_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
    return int(text)
