"""``tutelage replay`` as users call it, with its figures recomputed from its trace."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_RECOMPUTE = Path(__file__).with_name("recompute.py")


def run_replay(stream: Path, *options: object) -> dict[str, Any]:
    """The result without its curve; ``recomputed``: its trace gives the same figures; ``wall_s``.

    Raises CalledProcessError where the command fails.
    """
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out, trace = Path(folder) / "result.json", Path(folder) / "trace.jsonl"
        command = [str(Path(sys.executable).with_name("tutelage")), "replay", str(stream)]
        command += map(str, options)
        command += ["--out", str(out), "--trace", str(trace)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        checked = subprocess.run(
            [sys.executable, str(_RECOMPUTE), str(out), str(trace)], stdout=subprocess.DEVNULL
        )
        result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    del result["curve"]
    wall_s = time.perf_counter() - began_s
    return {**result, "recomputed": checked.returncode == 0, "wall_s": wall_s}
