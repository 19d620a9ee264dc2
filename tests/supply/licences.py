"""The licence of a distribution as its metadata tells it, and whether it may be used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from tests.supply.lock import Pin

_IDENTIFIERS: Mapping[str, str] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""Older metadata speaks in the index's classifiers, or as it likes; these mean one licence."""

_WORD = re.compile(r"\(|\)|[^\s()]+")


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """``licences``: SPDX identifiers, each with the reason; ``packages``: what is settled for one
    distribution alone, (licence, reason)."""

    licences: Mapping[str, str]
    packages: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Licensed:
    """A locked distribution. ``licence``: None where it isn't installed here or tells none."""

    pin: Pin
    licence: str | None
    installed: str | None


def look_up(pin: Pin) -> Licensed:
    """What is installed here under the name."""
    try:
        found = distribution(pin.name)
    except PackageNotFoundError:
        return Licensed(pin=pin, licence=None, installed=None)
    told = found.metadata
    classifiers = [
        one.rpartition("::")[2].strip()
        for one in told.get_all("Classifier") or ()
        if one.startswith("License :: ")
    ]
    expression = told.get("License-Expression")
    plain = (told.get("License") or "").strip().partition("\n")[0]
    licence = expression or name_licence(classifiers, plain)
    return Licensed(pin=pin, licence=licence, installed=found.version)


def name_licence(classifiers: Sequence[str], plain: str) -> str | None:
    """An SPDX expression out of older metadata; None where it says nothing."""
    if classifiers:
        return " AND ".join(sorted({_IDENTIFIERS.get(one, one) for one in classifiers}))
    return _IDENTIFIERS.get(plain, plain) or None


def judge(found: Sequence[Licensed], allowed: Allowed) -> Iterator[str]:
    """Every distribution that may not be used, and every permission that nobody needs."""
    used: set[str] = set()
    settled: set[str] = set()
    for one in found:
        name = one.pin.name
        # A local build says so behind a plus sign, such as torch's for the CPU.
        if one.installed is not None and one.installed.partition("+")[0] != one.pin.version:
            yield f"{name}: {one.installed} is installed instead of {one.pin.version}"
        if name in allowed.packages:
            settled.add(name)
            expected = allowed.packages[name][0]
            if one.licence is not None and one.licence != expected:
                yield f"{name}: its licence is {one.licence}, allowed was {expected}"
        elif one.licence is None:
            why = "not installed here" if one.installed is None else "tells no licence"
            yield f"{name}: {why}; say its licence and why under [packages]"
        elif not allows(one.licence, allowed.licences, used):
            yield f"{name}: {one.licence} is not allowed"
    for name in sorted(allowed.packages.keys() - settled):
        yield f"{name} is in [packages] and in no lock"
    for licence in sorted(allowed.licences.keys() - used):
        yield f"{licence} is in [licences] and nobody has it"


def allows(expression: str, licences: Mapping[str, str], used: set[str]) -> bool:
    """Whether an SPDX expression is met; AND binds tighter than OR, WITH belongs to its licence.

    ``used``: the allowed licences that were named are added. Raises ValueError for parentheses that
    don't fit.
    """
    words = _WORD.findall(re.sub(r"\s+WITH\s+", "-with-", expression))
    position = 0

    def read_any() -> bool:
        nonlocal position
        met = read_all()
        while position < len(words) and words[position] == "OR":
            position += 1
            met = read_all() or met
        return met

    def read_all() -> bool:
        nonlocal position
        met = read_one()
        while position < len(words) and words[position] == "AND":
            position += 1
            met = read_one() and met
        return met

    def read_one() -> bool:
        nonlocal position
        if position >= len(words):
            raise ValueError(f"an expression without an end: {expression}")
        word = words[position]
        position += 1
        if word == "(":
            met = read_any()
            position += 1
            return met
        used.update({word} & licences.keys())
        return word in licences

    met = read_any()
    return met and position == len(words)
