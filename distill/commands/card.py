"""``tutelage releases card``: what a release learned from, passed and preserved."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from distill.card.card import build_card
from distill.commands.common import add_json, add_own_config, describe_time, open_workplace
from router.promotion import find_release

Json = Any


def add_card(actions: Any) -> None:
    """Add ``card`` to the actions of ``releases``."""
    card = actions.add_parser(
        "card",
        help="a release's model card in Markdown: data, tests passed, what was preserved",
        epilog="example: tutelage releases card 3f9c1a2b > card.md",
    )
    card.add_argument("digest", help="its digest, or the first 6 or more characters of it")
    card.set_defaults(run=_run)
    add_own_config(card)
    add_json(card)


def _run(args: Namespace) -> int:
    with open_workplace(args.config) as place:
        release = find_release(place.store, args.digest)
        card = build_card(place.store, place.settings, place.datasets, release)
    print(json.dumps(card, indent=2) if args.json else write_card(card).rstrip())
    return 0


def write_card(card: Mapping[str, Json]) -> str:
    """The card in Markdown."""
    lines = [
        f"# Release {card['number']} of {card['workload']}",
        "",
        f"`{card['digest']}` · {card['state']} · made {describe_time(card['created_at'])}"
        f" · promoted {describe_time(card['promoted_at'])}",
        "",
        *("## Student", "", *_list_of(card["student"]), ""),
        *("## Data", "", *_list_of(_read_times(card["data"])), ""),
        *("## What it passed", "", *_write_rungs(card["rungs"]), ""),
        *("## What it preserved", "", *write_preserved(card["preserved"]), ""),
        *("## Agreement with the teacher", "", *write_preserved(card["agreement"]), ""),
        *("## What was done with it", ""),
        *(
            f"- {describe_time(one['at'])} {one['action'].replace('_', ' ')}: {one['reason']}"
            for one in card["events"]
        ),
    ]
    return "\n".join(lines) + "\n"


def _read_times(data: Mapping[str, Json]) -> dict[str, Json]:
    span = data["span"]
    if span is None:
        return dict(data)
    return {**data, "span": f"{describe_time(span['from'])} to {describe_time(span['to'])}"}


def _list_of(described: Mapping[str, Json]) -> list[str]:
    return [
        f"- {name.replace('_', ' ')}: {_write_value(value)}" for name, value in described.items()
    ]


def _write_value(value: Json) -> str:
    if value is None:
        return "not known"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_write_value(one)}" for name, one in value.items()) or "none"
    return str(value)


def _write_rungs(rungs: Sequence[Mapping[str, Json]]) -> list[str]:
    if not rungs:
        return ["Nothing was tested: it was entered by hand."]
    head = ["| rung | verdict | compared | what was found |", "|---|---|--:|---|"]
    return head + [
        f"| {rung['name'].replace('_', ' ')} | {rung['verdict']} | {rung['questions']} |"
        f" {_cell(rung['sentence'])} |"
        for rung in rungs
    ]


def write_preserved(kept: Sequence[Mapping[str, Json]]) -> list[str]:
    """Shares in per cent, numbers as they are, with their intervals."""
    if not kept:
        return ["No draft of it has been compared yet."]
    head = ["| | student | teacher | n |", "|---|--:|--:|--:|"]
    return head + [
        f"| {_cell(_name(one))} | {_show(one, 'student')} | {_show(one, 'teacher')} | {one['n']} |"
        for one in kept
    ]


def _name(one: Mapping[str, Json]) -> str:
    return f"{one['kind']}: {one['name']}" if one["kind"] else one["name"]


def _show(one: Mapping[str, Json], whose: str) -> str:
    found = one[whose]
    if found is None:
        return "–"
    value, low, high = found["value"], found["low"], found["high"]
    if one["unit"] == "number":
        return f"{value:.3g} ({low:.3g}–{high:.3g})"
    return f"{100 * value:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
