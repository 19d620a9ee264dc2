"""The result of a run: a peft folder named ``student@digest``, with a manifest beside the weights.

The digest covers the weights, peft's configuration and the manifest, so a name never means two
things. The folder appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CURVE = "curve.jsonl"
"""A JSON line per step, in the folder of a run."""

_MANIFEST = "manifest.json"
_WEIGHTS = ("adapter_model.safetensors", "model.safetensors")
_CONFIGURATIONS = ("adapter_config.json", "config.json")


class AdapterError(ValueError):
    """The folder is no adapter of ours, or was changed after it was written."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """``name``: ``student@<first 16 of the digest>``, also the folder's name."""

    name: str
    digest: str
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def curve(self) -> Path:
        """The loss curve of its run, while it lies where it was trained."""
        return self.folder.parent / "runs" / identify(self.manifest)[:16] / CURVE


def identify(manifest: Mapping[str, Any]) -> str:
    """What a run is made of, as sha256 (hex): it names the run's folder."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def save_adapter(
    model: Any, folder: Path, *, student: str, base: str, manifest: Mapping[str, Any]
) -> Adapter:
    """Write the model's adapter (or its weights, where there is none) below ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
    try:
        if hasattr(model, "peft_config"):
            # The user's name for it: a path of this machine would mean nothing elsewhere.
            model.peft_config["default"].base_model_name_or_path = base
            model.save_pretrained(draft, selected_adapters=["default"], save_embedding_layers=False)
        else:
            model.save_pretrained(draft)
        (draft / "README.md").unlink(missing_ok=True)
        for name in _CONFIGURATIONS:
            _put_in_order(draft / name)
        digest = _digest(draft, manifest)
        whole = {"format": 1, "digest": digest, "student": student, "meta": manifest}
        (draft / _MANIFEST).write_text(json.dumps(whole, indent=1, sort_keys=True), "utf-8")
        target = folder / f"{student}@{digest[:16]}"
        if target.exists():
            shutil.rmtree(draft)
        else:
            draft.chmod(0o755)
            draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return Adapter(name=target.name, digest=digest, folder=target, manifest=manifest)


def _put_in_order(path: Path) -> None:
    """peft writes sets in the order of their hashes, which is another in every process."""
    if path.exists():
        found = json.loads(path.read_text("utf-8"))
        if isinstance(found.get("target_modules"), list):
            found["target_modules"].sort()
        path.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", "utf-8")


def open_adapter(folder: Path) -> Adapter:
    """Read and verify what ``save_adapter`` wrote. Raises AdapterError."""
    try:
        whole = json.loads((folder / _MANIFEST).read_text("utf-8"))
        digest, student, manifest = whole["digest"], whole["student"], whole["meta"]
        found = _digest(folder, manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(f"{folder} is no adapter with a manifest: {error}") from error
    if found != digest:
        raise AdapterError(f"{folder} was changed after it was written: its digest differs")
    return Adapter(name=f"{student}@{digest[:16]}", digest=digest, folder=folder, manifest=manifest)


def _digest(folder: Path, manifest: Mapping[str, Any]) -> str:
    sha = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode())
    for name in (*_CONFIGURATIONS, *_WEIGHTS):
        path = folder / name
        if path.exists():
            sha.update(f"{name}|{path.stat().st_size}|".encode())
            sha.update(path.read_bytes())
    return sha.hexdigest()
