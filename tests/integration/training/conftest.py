"""The base model that these tests train."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training_environment import run_there


@pytest.fixture(scope="package")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of a few thousand weights over characters."""
    folder = tmp_path_factory.mktemp("base")
    run_there(f"from tests.train.recipes.tiny_base import save_tiny; save_tiny({str(folder)!r})")
    return folder
