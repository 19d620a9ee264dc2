"""Run by the rival's own interpreter: distilroute on (text, answer), as its README says.

Reads ``[[text, answer], …]`` from the file named first, in the order they are asked, and writes
``[[answer given, "local" or "llm"], …]`` to the second. The teacher's answer is looked up when
distilroute asks for it. Its files lie in the current folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import distilroute  # type: ignore[import-not-found]


def main() -> None:
    queries = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    distiller = distilroute.Distiller(store="routes.jsonl", retrain_every=500)
    pending = ""
    route = distiller.wrap(lambda text: (pending, 1.0))
    given = []
    for text, answer in queries:
        pending = answer
        label, source, _ = route(text)
        given.append([label, source])
    Path(sys.argv[2]).write_text(json.dumps(given), encoding="utf-8")


if __name__ == "__main__":
    main()
