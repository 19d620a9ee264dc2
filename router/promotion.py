"""Putting a release in force by hand, and going back: the same for commands and the admin API."""

from __future__ import annotations

from pathlib import Path

from router.errors import StoreError
from router.record.model import Release
from router.record.store import Store
from router.release import load_release

_FEWEST_DIGITS = 6


class UnknownRelease(StoreError):
    """No release, or more than one, is meant."""


class NotPossible(StoreError):
    """What is known about the release or its workload speaks against it."""


def find_release(store: Store, start: str) -> Release:
    """The release whose digest begins so. Raises UnknownRelease."""
    if len(start) < _FEWEST_DIGITS:
        raise UnknownRelease(
            f"{start!r} is too short: give at least {_FEWEST_DIGITS} characters of the digest."
        )
    found = [release for release in store.releases() if release.digest.startswith(start)]
    if len(found) != 1:
        raise UnknownRelease(
            f"{len(found) or 'No'} releases begin with {start!r}; see 'tutelage releases list'."
        )
    return found[0]


def promote(store: Store, start: str, reason: str) -> Release:
    """Put the release in force whose digest begins so.

    Raises UnknownRelease, NotPossible where it was rejected, ReleaseError where it is damaged.
    """
    chosen = find_release(store, start)
    if chosen.state == "rejected":
        raise NotPossible(f"release {chosen.digest} was rejected and can't be put in force")
    load_release(Path(chosen.path))  # what can't be loaded must not be put in force
    store.set_active(chosen.workload, chosen.digest, reason)
    return chosen


def roll_back(store: Store, workload: str, reason: str) -> Release | None:
    """Back to the release before the one in force; None where the teacher answers instead.

    While a canary drafts for a part of the traffic, it alone is taken back, and ruled out.
    Raises NotPossible where none is in force, ReleaseError where the one before is damaged.
    """
    if workload not in store.active_releases():
        raise NotPossible(f"Workload {workload!r} has no release in force.")
    for release in store.staged():
        if release.workload == workload and release.state == "canary":
            store.reject_release(release.digest, reason)
            return store.release(store.active_releases()[workload])
    chosen = store.previous_release(workload)
    if chosen is None:
        store.retire_active(workload, reason)
    else:
        load_release(Path(chosen.path))
        store.set_active(workload, chosen.digest, reason)
    return chosen
