"""A release: the immutable bundle {student, gate} of a workload, and the ones in force."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies import artifact
from policies.promise.certificate import Over
from policies.scoring.gate import Gate
from policies.types import Answer, Evidence
from router.errors import ReleaseError
from router.generative.student import KIND, GenerativeStudent, read_student
from router.record.store import Store
from router.students.embedded import EmbeddedStudent
from router.students.encoder import Encoder
from router.students.space import COMMON, Space, find_space, is_tuned
from router.wire.profile import Profile

Student = EmbeddedStudent | GenerativeStudent


@dataclass(frozen=True, kw_only=True)
class Release:
    """``digest``: names the content; ``encoder``: digest of the weights it was trained over, and
    ``space`` those themselves.

    ``student``: None where the drafts come from elsewhere and only the gate was learned.
    ``gate``: None where nothing was learned about the drafts yet: they are recorded, never served.
    ``forms`` and ``prompts``: those of the requests that it was learned from, as in
    ``router.wire.profile``; None where they vary too much to tell, or were not noted.
    ``dataset``: digest of what it was learned from; None in releases of before it was noted.
    """

    digest: str
    workload: str
    comparer: str
    encoder: str
    student: Student | None
    gate: Gate | None
    forms: frozenset[str] | None = None
    prompts: frozenset[str] | None = None
    dataset: str | None = None
    space: Space = COMMON

    def knows(self, profile: Profile) -> bool:
        """Whether it was learned from requests with such instructions and form of answer."""
        return (self.forms is None or profile.form in self.forms) and (
            self.prompts is None or profile.prompt in self.prompts
        )

    def draft(self, text: str, encoder: Encoder) -> tuple[Answer, Evidence]:
        """The student's answer to ``text`` and its evidence, the gate's confidence included.
        ``encoder``: the common one.

        Raises ReleaseError where the release has no student that runs in process.
        """
        if not isinstance(self.student, EmbeddedStudent):
            raise ReleaseError(f"The release {self.digest} holds no embedded student.")
        answer, evidence = self.student.draft(self.space.encode([text], encoder)[0])
        return answer, self.judge(evidence)

    def judge(self, evidence: Evidence, question: str = "") -> Evidence:
        """The evidence of a draft with this release's confidence in it. ``question``: the last
        message of the user, which some gates read."""
        if self.gate is None:
            return replace(evidence, confidence=None, release=self.digest)
        read = self.gate.read(question)
        if read:
            evidence = replace(evidence, signals={**evidence.signals, **read})
        confidence = self.gate.confidence(evidence)
        return replace(evidence, confidence=confidence, release=self.digest)

    def thresholds(self, levels: NDArray[np.float64], over: Over) -> NDArray[np.float64]:
        """Score threshold per risk level, non-increasing; ``inf`` where there is none."""
        if self.gate is None:
            return np.full(len(levels), np.inf)
        return self.gate.thresholds(levels, over)


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A release that drafts for a ``share`` of the interactions in place of the one in force.

    ``salt``: secret, so that nobody can tell beforehand whose an interaction will be.
    """

    release: Release
    share: float
    salt: bytes

    def takes(self, interaction_id: str) -> bool:
        """Whether the interaction is among that share: always the same for one id, nothing to do
        with what is asked, and what a smaller share takes a larger one does, too."""
        key = self.salt + self.release.digest.encode()
        drawn = hashlib.blake2b(interaction_id.encode(), key=key[:64], digest_size=8).digest()
        return int.from_bytes(drawn) < self.share * 2.0**64


def save_release(
    folder: Path,
    *,
    workload: str,
    comparer: str,
    encoder: str,
    student: Student | None,
    gate: Gate | None,
    forms: Collection[str] | None = None,
    prompts: Collection[str] | None = None,
    dataset: str | None = None,
) -> tuple[str, Path]:
    """Write the bundle under ``folder``; returns its digest and its path."""
    meta: dict[str, Any] = {
        "workload": workload,
        "comparer": comparer,
        "encoder": encoder,
        "signals": [] if gate is None else list(gate.signals),
        "scorer": None if gate is None else gate.scorer.kind,
        "student": None,
        "forms": None if forms is None else sorted(forms),
        "prompts": None if prompts is None else sorted(prompts),
        "dataset": dataset,
    }
    arrays: dict[str, NDArray[Any]] = {} if gate is None else dict(gate.to_arrays())
    if isinstance(student, GenerativeStudent):
        meta["student"] = student.to_meta()
    elif student is not None:
        meta["student"] = {
            "answers": [dict(answer) for answer in student.answers],
            "queries": student.queries,
            "gamma": student.gamma,
        }
        arrays |= {
            _support_of(encoder): student.support,
            "weights": student.weights,
            "classes": student.classes,
        }
    return artifact.save(folder, meta, arrays)


def load_release(path: Path) -> Release:
    """Read a bundle. Raises ReleaseError where it is missing, damaged or of another format."""
    try:
        digest, meta, arrays = artifact.load(path)
        return Release(
            digest=digest,
            workload=meta["workload"],
            comparer=meta["comparer"],
            encoder=meta["encoder"],
            student=_read_student(meta, arrays, path.parent),
            gate=None
            if meta["scorer"] is None
            else Gate.from_arrays(tuple(meta["signals"]), meta["scorer"], arrays),
            forms=_read_set(meta["forms"]),
            prompts=_read_set(meta["prompts"]),
            dataset=meta.get("dataset"),
            space=find_space(meta["encoder"], path.parent),
        )
    except (artifact.ArtifactError, KeyError) as error:
        raise ReleaseError(f"The release can't be used: {error}.") from error


def _read_set(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _support_of(encoder: str) -> str:
    """A gateway from before encoders were tuned must not take such vectors for the common ones."""
    return "tuned_support" if is_tuned(encoder) else "support"


def _read_student(
    release: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], releases: Path
) -> Student | None:
    meta = release["student"]
    if meta is None:
        return None
    if meta.get("kind") == KIND:
        return read_student(meta, releases)
    return EmbeddedStudent(
        answers=meta["answers"],
        support=arrays[_support_of(release["encoder"])],
        weights=arrays["weights"],
        classes=arrays["classes"],
        queries=meta["queries"],
        gamma=meta["gamma"],
    )


class ActiveReleases:
    """The release in force per workload; a reader sees the old one or the new one, never a mix."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._active: dict[str, Release] = {}
        self._loaded: dict[str, Release] = {}
        self._canaries: Mapping[str, Canary] = {}
        self.turn = asyncio.Lock()
        """Held from ``look`` to ``swap``, so that an older reading never comes after a newer."""

    def get(self, workload: str) -> Release | None:
        """The workload's release, or None where nothing was promoted."""
        return self._active.get(workload)

    def choose(self, workload: str, interaction_id: str) -> Release | None:
        """The release that drafts for an interaction: the one in force, or the canary's."""
        canary = self._canaries.get(workload)
        if canary is not None and canary.takes(interaction_id):
            return canary.release
        return self._active.get(workload)

    def let_out(self, canaries: Mapping[str, Canary]) -> None:
        """From now on these draft for their share, and no others."""
        self._canaries = dict(canaries)

    def all(self) -> Mapping[str, Release]:
        """The release in force of every workload that has one."""
        return self._active

    def refresh(self) -> set[str]:
        """Follow the store's pointers; returns the workloads that changed. Blocks.

        A release that can't be loaded leaves the one in force where it is and raises ReleaseError
        after all others have been taken up.
        """
        wanted, damaged = self.look()
        changed = self.swap(wanted)
        if damaged is not None:
            raise damaged
        return changed

    def look(self) -> tuple[dict[str, Release], ReleaseError | None]:
        """What the store wants in force, loaded, and why a part of it can't be. Blocks."""
        wanted: dict[str, Release] = {}
        damaged: ReleaseError | None = None
        for workload, digest in self._store.active_releases().items():
            current = self._active.get(workload)
            try:
                wanted[workload] = self.load(digest)
            except ReleaseError as error:
                damaged = error
                if current is not None:
                    wanted[workload] = current
        return wanted, damaged

    def swap(self, wanted: Mapping[str, Release]) -> set[str]:
        """Put them in force, all in one step; returns the workloads that changed."""
        before, self._active = self._active, dict(wanted)
        names = before.keys() | self._active.keys()
        return {name for name in names if before.get(name) is not self._active.get(name)}

    def neighbours(self) -> list[Release]:
        """Those in force, what a rollback would go back to, and the newest candidates. Blocks.

        What can't be loaded is left out: it is told when it is to be put in force.
        """
        rows = self._store.neighbouring_releases()
        found = []
        for digest in rows:
            with suppress(ReleaseError):
                found.append(self.load(digest))
        kept = {release.digest for release in found}
        self._loaded = {digest: r for digest, r in self._loaded.items() if digest in kept}
        return found

    def load(self, digest: str) -> Release:
        """One release, from memory where it is at hand: it never changes. Blocks. Raises
        ReleaseError where it can't be loaded."""
        for release in (*self._active.values(), *self._loaded.values()):
            if release.digest == digest:
                return release
        row = self._store.release(digest)
        if row is None:
            raise ReleaseError(f"The release {digest} is in force and not in the store.")
        release = load_release(Path(row.path))
        if (release.digest, release.workload) != (digest, row.workload):
            raise ReleaseError(f"{row.path} holds another release than {digest} of {row.workload}.")
        self._loaded[digest] = release
        return release
