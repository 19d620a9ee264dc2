"""A release: the immutable bundle {student, gate} of a workload, as a digest-checked artifact."""

from __future__ import annotations

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
from router.students.embedded import EmbeddedStudent
from router.students.encoder import Encoder


@dataclass(frozen=True, kw_only=True)
class Release:
    """``digest``: names the content; ``encoder``: digest of the weights it was trained over."""

    digest: str
    workload: str
    comparer: str
    encoder: str
    student: EmbeddedStudent
    gate: Gate

    def draft(self, text: str, encoder: Encoder) -> tuple[Answer, Evidence]:
        """The student's answer to ``text`` and its evidence, the gate's confidence included."""
        answer, evidence = self.student.draft(encoder.encode([text])[0])
        confidence = self.gate.confidence(evidence)
        return answer, replace(evidence, confidence=confidence, release=self.digest)

    def thresholds(self, levels: NDArray[np.float64], over: Over) -> NDArray[np.float64]:
        """Score threshold per risk level, non-increasing; ``inf`` where there is none."""
        return self.gate.thresholds(levels, over)


def save_release(
    folder: Path,
    *,
    workload: str,
    comparer: str,
    encoder: str,
    student: EmbeddedStudent,
    gate: Gate,
) -> tuple[str, Path]:
    """Write the bundle under ``folder``; returns its digest and its path."""
    meta = {
        "workload": workload,
        "comparer": comparer,
        "encoder": encoder,
        "answers": [dict(answer) for answer in student.answers],
        "queries": student.queries,
        "gamma": student.gamma,
        "signals": list(gate.signals),
    }
    arrays: dict[str, NDArray[Any]] = {
        "support": student.support,
        "weights": student.weights,
        "classes": student.classes,
        **gate.to_arrays(),
    }
    return artifact.save(folder, meta, arrays)


def load_release(path: Path) -> Release:
    """Read a bundle. Raises ReleaseError where it is missing, damaged or of another format."""
    try:
        digest, meta, arrays = artifact.load(path)
        student = EmbeddedStudent(
            answers=meta["answers"],
            support=arrays["support"],
            weights=arrays["weights"],
            classes=arrays["classes"],
            queries=meta["queries"],
            gamma=meta["gamma"],
        )
        return Release(
            digest=digest,
            workload=meta["workload"],
            comparer=meta["comparer"],
            encoder=meta["encoder"],
            student=student,
            gate=Gate.from_arrays(tuple(meta["signals"]), arrays),
        )
    except (artifact.ArtifactError, KeyError) as error:
        raise ReleaseError(f"The release can't be used: {error}.") from error
