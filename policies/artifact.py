"""Versioned, digest-checked artifacts: one JSON manifest and one npz, never pickle.

The digest covers the meaning (canonical JSON, and each array's name, type, shape and bytes), so
it doesn't depend on compression or time stamps.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 2

_MANIFEST = "manifest.json"
_ARRAYS = "arrays.npz"


class ArtifactError(ValueError):
    """The artifact is missing, damaged, or of a format this version can't read."""


def digest_of(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """sha256 (hex) of an artifact's content."""
    sha = hashlib.sha256(_canonical(meta))
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def save(
    folder: Path, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> tuple[str, Path]:
    """Write the artifact under ``folder/<first 16 of its digest>`` and return (digest, path).

    The folder appears whole or not at all; writing the same content twice is no error.
    """
    digest = digest_of(meta, arrays)
    target = folder / digest[:16]
    if target.exists():
        return digest, target
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
    try:
        manifest = {"format": FORMAT, "digest": digest, "meta": meta}
        (draft / _MANIFEST).write_bytes(_canonical(manifest))
        with (draft / _ARRAYS).open("wb") as file:
            np.savez_compressed(
                file, allow_pickle=False, **{n: np.asarray(a) for n, a in arrays.items()}
            )
        os.replace(draft, target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not target.exists():
            raise
    return digest, target


def load(path: Path) -> tuple[str, dict[str, Any], dict[str, NDArray[Any]]]:
    """Read and verify an artifact: (digest, meta, arrays). Raises ArtifactError."""
    try:
        manifest = json.loads((path / _MANIFEST).read_bytes())
        with np.load(path / _ARRAYS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"the release at {path} can't be read: {error}") from error
    if not isinstance(manifest, dict) or not {"format", "meta", "digest"} <= manifest.keys():
        raise ArtifactError(f"the release at {path} has a manifest that is none")
    if manifest["format"] != FORMAT:
        raise ArtifactError(f"the release at {path} has format {manifest['format']!r}")
    if digest_of(manifest["meta"], arrays) != manifest["digest"]:
        raise ArtifactError(f"the release at {path} is damaged: its digest doesn't match")
    return manifest["digest"], manifest["meta"], arrays


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
