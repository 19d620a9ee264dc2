"""Erasure and retention reach datasets, and tell which releases learned from what is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from distill.dataset.examples import seal
from distill.dataset.folder import Kept, list_kept, load, save, withdraw
from distill.dataset.model import Bundle, Example, Source
from distill.dataset.reasoning import final_of
from policies.compare import get_comparer
from router.record.model import Release
from router.wire.openai import answer_from_json, shape_of


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """A dataset that is no more. ``successor``: the digest of what is left of it, if anything."""

    digest: str
    workload: str
    examples: int
    successor: str | None


def erase(folder: Path, gone: Callable[[Source], bool], now: float) -> list[Withdrawn]:
    """Take sources out of every dataset that has them.

    What remains of a dataset becomes another one, whose parent is the first. A question whose own
    text came from a source that is gone goes with it; one that others asked too stays, and stands
    for them alone; a correction from a source that is gone is forgotten.
    """
    withdrawn = []
    for kept in list(list_kept(folder)):
        if kept.withdrawn is not None:
            continue
        bundle = load(kept)
        comparer = str(kept.manifest["comparer"])
        left = [_without(example, gone, comparer) for example in bundle.examples]
        if left == list(bundle.examples):
            continue
        withdrawn.append(_replace(folder, kept, bundle, [e for e in left if e is not None], now))
    return withdrawn


def expire(folder: Path, oldest: float, now: float) -> list[Withdrawn]:
    """Withdraw datasets with an interaction from before ``oldest`` (seconds since the epoch).

    Whole: the records that are young enough are in the store, and the next one is built of them.
    """
    withdrawn = []
    for kept in list(list_kept(folder)):
        span = kept.manifest["span"]
        if kept.withdrawn is None and span is not None and span["from"] < oldest:
            withdraw(kept, "its oldest data outlived data.retention_days", now, None)
            withdrawn.append(_describe(kept, None))
    return withdrawn


def trained_on(releases: Iterable[Release], datasets: Sequence[Withdrawn]) -> list[Release]:
    """The releases that name one of the datasets as what they were learned from."""
    digests = {dataset.digest for dataset in datasets}
    return [release for release in releases if release.dataset in digests]


def _key_of(example: Example, comparer: str) -> str:
    """The teacher's answer as a comparer sees it. Raises ValueError where it can't be compared."""
    answer = final_of(answer_from_json(example.answer or {}))
    key = get_comparer(comparer).key(answer, shape_of(example.request))
    if key is None:
        raise ValueError(f"the answer of example {example.id} can't be compared")
    return key


def _without(example: Example, gone: Callable[[Source], bool], comparer: str) -> Example | None:
    if any(gone(source) for source in example.sources if source.id == example.id):
        return None
    sources = tuple(source for source in example.sources if not gone(source))
    if example.gold_by is not None and gone(example.gold_by):
        if example.answer is None:
            return None
        example = replace(
            example, gold=None, gold_by=None, rejected=(), key=_key_of(example, comparer)
        )
    if len(sources) == len(example.sources):
        return example
    weight = example.weight * len(sources) / len(example.sources)
    return replace(example, sources=sources, weight=weight)


def _replace(
    folder: Path, kept: Kept, bundle: Bundle, left: Sequence[Example], now: float
) -> Withdrawn:
    successor = None
    if left:
        dropped = dict(bundle.manifest["dropped"])
        dropped["erased"] = dropped.get("erased", 0) + len(bundle.examples) - len(left)
        head = {**bundle.manifest, "dropped": dropped, "parent": bundle.digest}
        smaller = seal(head, left)
        save(folder, smaller)
        successor = smaller.digest
    withdraw(kept, "some of its data was erased", now, successor)
    return _describe(kept, successor)


def _describe(kept: Kept, successor: str | None) -> Withdrawn:
    return Withdrawn(
        digest=kept.digest,
        workload=str(kept.manifest["workload"]),
        examples=int(kept.manifest["examples"]),
        successor=successor,
    )
