"""Other projects from the package index, each in an environment of its own that is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


class UnavailableError(Exception):
    """It can't be installed or run here; the sentence says why."""


def cache_folder() -> Path:
    """Where built things are kept between runs, also by a clone that is fresh."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "tutelage"


def install(package: str, folder: Path) -> Path:
    """The Python of an environment in ``folder`` that holds ``package``; minutes the first time.

    Raises UnavailableError.
    """
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    complete = folder / "complete"
    if not complete.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        run([sys.executable, "-m", "venv", "--clear", str(folder)], package)
        run([str(python), "-m", "pip", "install", "--quiet", package], package)
        complete.touch()
    return python.absolute()


def run(command: list[str], package: str, folder: Path | None = None) -> None:
    """Run a command of ``package``'s to its end. Raises UnavailableError."""
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        lines = str(error.stderr).strip().splitlines()
        raise UnavailableError(
            f"{package} can't be used here: {lines[-1] if lines else 'it failed silently'}"
        ) from None
    except OSError as error:
        raise UnavailableError(f"{package} can't be used here: {error}") from None
