"""Store, release and dataset → the card, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from distill.card.preserved import measure_preserved
from distill.dataset.folder import list_kept
from router.errors import ReleaseError
from router.generative.student import GenerativeStudent
from router.record.model import Release
from router.record.store import Store
from router.release import Student, load_release
from router.settings.model import Settings
from router.workload import find_settings

Json = Any


def build_card(
    store: Store, settings: Settings, datasets: Path, release: Release
) -> dict[str, Json]:
    """Everything that is known of a release, JSON-ready. What isn't known is None or empty.

    Raises DatasetError where a dataset beside it is damaged.
    """
    kept, parts = measure_preserved(
        store.training_rows(release.workload),
        release.digest,
        find_settings(settings, release.workload),
    )
    events = [one for one in store.release_events(release.workload) if one.digest == release.digest]
    return {
        "digest": release.digest,
        "workload": release.workload,
        "number": release.number,
        "state": release.state,
        "created_at": release.created_at,
        "promoted_at": release.promoted_at,
        "student": _describe_student(release),
        "data": _describe_data(datasets, release),
        "rungs": list(release.report.get("rungs", [])),
        "preserved": [asdict(one) for one in kept],
        "agreement": [asdict(one) for one in parts],
        "events": [{"at": one.at, "action": one.action, "reason": one.reason} for one in events],
    }


def _describe_student(release: Release) -> dict[str, Json]:
    try:
        loaded = load_release(Path(release.path))
    except ReleaseError as error:
        return {"kind": None, "problem": str(error)}
    gate = None if loaded.gate is None else loaded.gate.scorer.kind
    return {**_describe(loaded.student), "comparer": loaded.comparer, "gate": gate}


def _describe(student: Student | None) -> dict[str, Json]:
    if student is None:
        return {"kind": "given"}
    if isinstance(student, GenerativeStudent):
        adapter = None if student.adapter is None else student.adapter.digest
        return {"kind": "openai", "base": student.base, "adapter": adapter}
    return {"kind": "embedded", "answers": len(student.answers), "questions": student.queries}


def _describe_data(datasets: Path, release: Release) -> dict[str, Json]:
    """What it learned from: of the dataset where it is kept, else of what the cycle noted."""
    told, digest = release.report.get("dataset"), release.dataset
    noted = told if isinstance(told, Mapping) else {}
    kept = next((one for one in list_kept(datasets) if one.digest == digest), None)
    manifest: Mapping[str, Json] = {} if kept is None else kept.manifest
    return {
        "dataset": digest,
        "questions": noted.get("questions"),
        "answers": noted.get("answers"),
        "rows": noted.get("rows"),
        "left_out": noted.get("dropped"),
        "interactions": manifest.get("interactions"),
        "span": manifest.get("span"),
        "licence": manifest.get("licence"),
        "teachers": manifest.get("teachers"),
        "withdrawn": None if kept is None else kept.withdrawn,
    }
