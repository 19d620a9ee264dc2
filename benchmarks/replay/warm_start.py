"""The three-shot seed of OCaTS as answers known before the first query."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

SEED = "ocats_banking77/seed_3shot.csv"
"""Below the data folder; belongs to the stream banking77-gpt4."""


def write_warm_start(seed: Path, stream: Path, out: Path) -> None:
    """The seed's questions as a stream: under the stream's instructions, with the seed's labels
    spelt as the stream spells them."""
    with gzip.open(stream, "rt", encoding="utf-8") as lines:
        first = json.loads(next(iter(lines)))
    instructions = first["request"]["messages"][0]
    with seed.open(encoding="utf-8", newline="") as file, out.open("w", encoding="utf-8") as rows:
        for i, row in enumerate(csv.DictReader(file)):
            question = {"role": "user", "content": row["text"]}
            label = row["label_name"].replace("_", " ").lower().rstrip("?")
            line = {
                "id": f"seed-{i}",
                "workload": first["workload"],
                "request": {**first["request"], "messages": [instructions, question]},
                "teacher": {"content": label},
            }
            rows.write(json.dumps(line) + "\n")
