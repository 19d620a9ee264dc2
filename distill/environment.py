"""The environment of processes that this one starts."""

from __future__ import annotations

import os
from pathlib import Path


def find_modules() -> dict[str, str]:
    """Of a clone, the code is found from wherever a command runs. What is installed is found by
    another environment in its own way: these packages were made for this Python."""
    root = Path(__file__).parents[1]
    found = dict(os.environ)
    if root.name != "site-packages":
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), found.get("PYTHONPATH")]))
    return found
