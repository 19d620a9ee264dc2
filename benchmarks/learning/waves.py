"""Five waves of intents, a cycle after each: what is lost of the old ones, and is the gate right?

The stream's intents (the teacher's answers) are dealt into waves by the seed. Of each wave some
messages arrive, the wave's alone, and others are kept for the test. The arrivals go through the
code of ``tutelage replay``: the gateway's pipeline, its records and the learning cycle.

- ``asked``: the teacher answers everything, and a cycle runs at the end of every wave and never
  else, ``learning.on_drift`` being off.
- ``served``: the student serves under ``--promise`` and learns by the product's own schedule, at
  alarms too, from what the teacher was still asked.
- ``known``: as ``served``, but the teacher answers everything: what learning within a wave and at
  alarms costs where nothing is unknown.
- ``unwarned``: as ``served``, with ``learning.on_drift`` off: no alarm takes trust away.

After each wave the release in force drafts the messages kept of all waves so far. The last one is
compared, message by message, with a student that had all waves at once, mixed, every answer known.

The stream isn't part of the project: its folder is named by ``--data`` or by ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.frontier.metrics import calibration
from benchmarks.promise.intervals import interval
from distill.learner import load_active
from distill.replay.run import Replay
from distill.replay.terms import STREAM_WORKLOAD, settings_for
from distill.streams import StreamRow, read_stream
from policies.compare import get_comparer
from router.record.redact import Redactor
from router.record.store import Store
from router.release import Release
from router.settings.model import LearningSettings, PromiseSettings, Settings
from router.students.encoder import Encoder
from router.wire.openai import input_text, shape_of

_STREAM = "streams/banking77-deepseek-train.jsonl.gz"
_ALL_ASKED = 0.9999
"""A promise that a few thousand interactions can't prove, so that nothing is served under it."""

_HOW = ("asked", "served", "known", "unwarned")

Run = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Wave:
    """``arrivals``: in the order of their arrival; ``kept``: what it is tested on."""

    arrivals: Sequence[StreamRow]
    kept: Sequence[StreamRow]


@dataclass(frozen=True, kw_only=True)
class Drafts:
    """Of messages that no release has seen: whether each draft agrees with the teacher, and how
    sure the gate is of it; both of shape (messages,)."""

    right: NDArray[np.bool_]
    confidence: NDArray[np.float64]


def deal(rows: Sequence[StreamRow], waves: int, arrivals: int, kept: int, seed: int) -> list[Wave]:
    """The intents in ``waves`` parts, as even in messages as dealing them one by one makes them;
    of each part's messages ``arrivals`` and ``kept`` others, at random."""
    draw = random.Random(f"waves {seed}")
    by_intent: dict[str, list[StreamRow]] = {}
    for row in draw.sample(list(rows), len(rows)):
        by_intent.setdefault(row.teacher.answer.content or "", []).append(row)
    dealt: list[list[StreamRow]] = [[] for _ in range(waves)]
    for intent in draw.sample(sorted(by_intent), len(by_intent)):
        min(dealt, key=len).extend(by_intent[intent])
    mixed = [draw.sample(part, len(part)) for part in dealt]
    short = min(len(part) for part in mixed)
    if short < arrivals + kept:
        raise ValueError(f"a wave has {short} messages, not the {arrivals + kept} asked for")
    return [Wave(arrivals=part[:arrivals], kept=part[arrivals : arrivals + kept]) for part in mixed]


def learn(
    rows: Sequence[StreamRow],
    settings: Settings,
    folder: Path,
    encoder: Encoder,
    seed: int,
    *,
    stops: Sequence[int],
) -> tuple[list[Release | None], Run]:
    """Replay the rows; the release in force after each of ``stops`` rows, and what came of it."""
    folder.mkdir()
    url = f"sqlite:///{folder / 'store.db'}"
    found: list[Release | None] = []
    watching = Store.open(url)

    def look(done: int, total: int, what: str) -> None:
        if done in stops:
            found.append(load_active(watching, rows[0].workload or STREAM_WORKLOAD))

    replay = Replay(
        settings,
        seed=seed,
        folder=folder / "releases",
        progress=look,
        recorded_student=False,
        store_url=url,
        encoder=encoder,
    )
    done = asyncio.run(replay.run(rows))
    cycles = [cycle.outcome for cycle in reversed(watching.cycles(1_000))]
    watching.close()
    asked = sum(line.asked for line in done.lines) / len(done.lines)
    agreement = sum(line.agreed for line in done.lines) / len(done.lines)
    return found, {"asked": asked, "agreement": agreement, "cycles": cycles}


def draft(release: Release, rows: Sequence[StreamRow], encoder: Encoder) -> Drafts:
    """What the release says to messages that it hasn't seen."""
    redactor, comparer = Redactor(Settings().data.redact), get_comparer(release.comparer)
    right, confidence = [], []
    for row in rows:
        answer, evidence = release.draft(redactor.text(input_text(row.body)), encoder)
        right.append(comparer.agrees(row.teacher.answer, answer, shape_of(row.body)))
        confidence.append(evidence.confidence or 0.0)
    return Drafts(right=np.array(right), confidence=np.array(confidence))


def measure(
    waves: Sequence[Wave], how: str, promise: float, encoder: Encoder, seed: int
) -> Iterator[Run]:
    """A line after each wave, and one that compares the last release with all waves at once."""
    rows = [row for wave in waves for row in wave.arrivals]
    ends = [sum(len(wave.arrivals) for wave in waves[: i + 1]) for i in range(len(waves))]
    settings = _settings_of(how, rows, ends[0], promise)
    with tempfile.TemporaryDirectory(prefix="tutelage-waves-") as name:
        folder = Path(name)
        releases, came = learn(rows, settings, folder / "waves", encoder, seed, stops=ends)
        drafts: list[Drafts] = []
        for i, release in enumerate(releases):
            if release is None:
                raise RuntimeError(f"no release is in force after wave {i + 1}")
            drafts = [draft(release, wave.kept, encoder) for wave in waves[: i + 1]]
            yield {"how": how, "seed": seed, "wave": i + 1, **_describe(drafts, seed)}
        mixed = random.Random(f"at once {seed}").sample(rows, len(rows))
        once = _teach_all(rows, len(rows))
        found, _ = learn(mixed, once, folder / "once", encoder, seed, stops=[len(rows)])
        if found[0] is None:
            raise RuntimeError("no release was learned from all waves at once")
        at_once = [draft(found[0], wave.kept, encoder) for wave in waves]
    yield {"how": how, "seed": seed, **came, **_compare(drafts, at_once)}


def _settings_of(how: str, rows: Sequence[StreamRow], every: int, promise: float) -> Settings:
    if how == "asked":
        return _teach_all(rows, every)
    agreement = _ALL_ASKED if how == "known" else promise
    settings = settings_for(rows, None, PromiseSettings(agreement=agreement))
    learning = LearningSettings(on_drift=how != "unwarned")
    return settings.model_copy(update={"learning": learning})


def _teach_all(rows: Sequence[StreamRow], every: int) -> Settings:
    """The teacher answers everything; a cycle after so many answers."""
    settings = settings_for(rows, None, PromiseSettings(agreement=_ALL_ASKED))
    learning = LearningSettings(min_new_answers=every, on_drift=False)
    return settings.model_copy(update={"learning": learning})


def _describe(drafts: Sequence[Drafts], seed: int) -> Run:
    """Agreement on each wave so far, and the gate's calibration over all of them."""
    sure = np.concatenate([one.confidence for one in drafts])
    right = np.concatenate([one.right for one in drafts])
    found = calibration(sure, right, seed)
    return {
        "agreement": [float(one.right.mean()) for one in drafts],
        "calibration_error": found.error,
        "null_95": found.null_95,
        "p_value": found.p_value,
        "sure_minus_right": float(sure.mean() - right.mean()),
    }


def _compare(waves: Sequence[Drafts], at_once: Sequence[Drafts]) -> Run:
    """Points, waves minus at once: over the old waves, all but the last, and over the last."""
    gaps = [100.0 * (a.right.astype(float) - b.right) for a, b in zip(waves, at_once, strict=True)]
    return {
        "old_points": float(np.concatenate(gaps[:-1]).mean()),
        "last_points": float(gaps[-1].mean()),
        "at_once": float(np.concatenate([one.right for one in at_once]).mean()),
    }


def main() -> int:
    """Print a line per wave and seed, and what all seeds say together."""
    args = _read_args()
    if args.data is None or not (args.data / _STREAM).exists():
        print(f"skipped: no {_STREAM}; name its folder by --data or TUTELAGE_DATA")
        return 0
    rows, encoder = read_stream(args.data / _STREAM), Encoder(cache=1_000_000, threads=1)
    report: list[Run] = []
    for how in args.how:
        for seed in args.seeds:
            waves = deal(rows, args.waves, args.arrivals, args.kept, seed)
            for line in measure(waves, how, args.promise, encoder, seed):
                print(json.dumps(line), flush=True)
                report.append(line)
        _summarise([line for line in report if line["how"] == how], how)
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--how", nargs="+", choices=_HOW, default=["asked"])
    parser.add_argument("--waves", type=int, default=5)
    parser.add_argument("--arrivals", type=int, default=500, help="messages of each wave (500)")
    parser.add_argument("--kept", type=int, default=300, help="others, to test on (300)")
    parser.add_argument("--promise", type=float, default=0.95, help="of `served` (0.95)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _summarise(report: Sequence[Run], how: str) -> None:
    ends = [line for line in report if "old_points" in line]
    for name in ("old_points", "last_points"):
        found = interval([line[name] for line in ends])
        print(f"{how}: {name} {_write(found)} over {len(ends)} seeds")
    cycles = [line for line in report if "wave" in line]
    inside = sum(line["calibration_error"] <= line["null_95"] for line in cycles)
    print(f"{how}: calibration error within its null after {inside} of {len(cycles)} waves")


def _write(found: dict[str, float]) -> str:
    text = f"{found['mean']:+.2f}"
    return text + (f" ({found['low']:+.2f} to {found['high']:+.2f})" if "low" in found else "")


if __name__ == "__main__":
    sys.exit(main())
