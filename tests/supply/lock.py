"""Reading a lock, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;]+)"
    r"(?:\s*;\s*(?P<marker>[^\\]*?))?\s*$"
)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One locked distribution. ``marker``: where it is installed at all, empty for everywhere."""

    name: str
    version: str
    marker: str
    hashes: int


def read_lock(text: str) -> tuple[list[Pin], list[str]]:
    """The pins, and each line that is none: a range, an address, an option of pip."""
    pins, wrong = [], []
    for entry in _entries(text):
        hashes = len(_HASH.findall(entry))
        found = _PIN.match(_HASH.sub("", entry).strip())
        if found is None:
            wrong.append(f"not pinned to one version: {entry[:80]}")
            continue
        name = re.sub(r"[-_.]+", "-", found["name"]).lower()
        marker = (found["marker"] or "").strip()
        pins.append(Pin(name=name, version=found["version"], marker=marker, hashes=hashes))
    return pins, wrong


def check_hashes(pins: Sequence[Pin]) -> Iterator[str]:
    """Each pin without a hash, by which any file would do."""
    for pin in pins:
        if not pin.hashes:
            yield f"no hash: {pin.name}"


def check_within(part: Sequence[Pin], whole: Sequence[Pin]) -> Iterator[str]:
    """What is deployed is what was tested: each pin of ``part`` is one of ``whole``, its hashes as
    many."""
    known = {pin.name: pin for pin in whole}
    for pin in part:
        other = known.get(pin.name)
        if other is None or (other.version, other.hashes) != (pin.version, pin.hashes):
            yield f"deployed but not tested in this version: {pin.name} {pin.version}"


def _entries(text: str) -> Iterator[str]:
    """Each requirement with its options in one line."""
    joined = re.sub(r"\\\s*\n", " ", re.sub(r"(?m)^\s*#.*\n?", "", text))
    for line in joined.splitlines():
        if line.strip():
            yield re.sub(r"\s+", " ", line).strip()
