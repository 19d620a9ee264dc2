"""Which model a release's generative student is: a base model, or an adapter on top of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.errors import ReleaseError

KIND = "openai"
ADAPTERS = "adapters"
"""The folder beside the releases that holds an adapter per digest."""

_PREFIX = "student@"
_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_FILES = (_CONFIG, _WEIGHTS)


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """LoRA weights in peft's format. ``digest``: SHA-256 over both files; ``folder``: absolute,
    and on every replica at the same path."""

    digest: str
    folder: Path

    @property
    def name(self) -> str:
        """What servers know it by. It names the content, so it never means anything else."""
        return f"{_PREFIX}{self.digest[:16]}"


@dataclass(frozen=True, kw_only=True)
class GenerativeStudent:
    """``base``: the name that the server knows the base model by; without an adapter it drafts."""

    base: str
    adapter: Adapter | None = None

    @property
    def model(self) -> str:
        """The name to ask the server for."""
        return self.base if self.adapter is None else self.adapter.name

    def to_meta(self) -> dict[str, Any]:
        """The part of a release's manifest; the adapter's folder follows from its digest."""
        digest = None if self.adapter is None else self.adapter.digest
        return {"kind": KIND, "base": self.base, "adapter": digest}


def is_adapter_name(name: str) -> bool:
    """Whether a model of that name was loaded by a gateway."""
    return name.startswith(_PREFIX)


def read_student(meta: Mapping[str, Any], releases: Path) -> GenerativeStudent:
    """The student of a manifest; ``releases``: the folder that the release lies in. Raises KeyError
    where a part is missing, ReleaseError where the adapter isn't there or is another."""
    digest = meta["adapter"]
    adapter = None if digest is None else read_adapter(releases / ADAPTERS / digest[:16])
    if adapter is not None and adapter.digest != digest:
        raise ReleaseError(f"{adapter.folder} holds another adapter than {digest}.")
    return GenerativeStudent(base=meta["base"], adapter=adapter)


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder. Raises ReleaseError where it isn't one in peft's format."""
    sha = hashlib.sha256()
    try:
        json.loads((folder / _CONFIG).read_bytes())
        for name in _FILES:
            sha.update(f"{name}|".encode())
            with (folder / name).open("rb") as file:
                sha.update(hashlib.file_digest(file, "sha256").digest())
    except (OSError, ValueError) as error:
        raise ReleaseError(
            f"{folder} is no adapter: it needs {_CONFIG} and {_WEIGHTS} as peft writes them."
        ) from error
    return Adapter(digest=sha.hexdigest(), folder=folder.absolute())


def keep_adapter(source: Path, releases: Path) -> Adapter:
    """Copy an adapter beside the releases, under its digest; the same again is no error.

    Raises ReleaseError where ``source`` is none or the copy can't be written.
    """
    adapter = read_adapter(source)
    target = releases / ADAPTERS / adapter.digest[:16]
    if not target.exists():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
            draft.chmod(0o755)  # servers may run as somebody else
            for name in _FILES:
                shutil.copyfile(source / name, draft / name)
            os.replace(draft, target)
        except OSError as error:
            raise ReleaseError(
                f"The adapter can't be written to {target}: "
                f"{error.strerror or type(error).__name__}; make room or set its permissions."
            ) from error
    return read_adapter(target)
