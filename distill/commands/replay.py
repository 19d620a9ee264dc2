"""``tutelage replay STREAM``: what would have happened on a recorded stream."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.commands.common import (
    add_config,
    add_json,
    read_count,
    read_seed,
    read_share,
    read_usd,
    read_whole,
)
from distill.commands.progress import Progress
from distill.noise import write_noise
from distill.replay.line import write_trace
from distill.replay.recorded import has_student
from distill.replay.result import summarize
from distill.replay.run import Replayed, order, replay
from distill.replay.terms import settings_for, slices_of
from distill.streams import read_stream
from distill.train.tuned import Tuner
from distill.wording import count_of
from router.errors import ConfigError, UsageError
from router.settings.load import load_settings
from router.settings.model import PromiseSettings, Settings

if TYPE_CHECKING:
    from argparse import _SubParsersAction


_EPILOG = (
    "example: tutelage replay stream.jsonl.gz --promise 0.97 --seed 3 --out result.json\n\n"
    "a line of a stream:\n"
    '{"id": "1", "request": {"messages": [{"role": "user", "content": "..."}]}, '
    '"teacher": {"content": "tracking"}}'
)


def register(commands: _SubParsersAction[Any]) -> None:
    """Add ``replay`` to the commands."""
    parser = commands.add_parser(
        "replay",
        help="replay a recorded stream through the code that serves and learns",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("stream", type=Path, metavar="STREAM", help="JSON lines, plain or .gz")
    add_config(parser)
    parser.add_argument("--promise", type=read_share, metavar="P", help="agreement to promise")
    parser.add_argument(
        "--confidence", type=read_share, metavar="C", help="of the promise (0.95)", default=None
    )
    parser.add_argument(
        "--guarantee",
        action="store_true",
        help="keep the --promise whatever the traffic does; asks more",
    )
    parser.add_argument(
        "--usd-per-interaction",
        type=read_usd,
        metavar="USD",
        help="budget for the teacher; excludes --promise",
    )
    parser.add_argument(
        "--seed", type=read_seed, default=0, help="of the order and every choice (0)"
    )
    parser.add_argument("--no-shuffle", action="store_true", help="keep the recorded order")
    parser.add_argument("--limit", type=read_count, metavar="N", help="only N queries of the order")
    parser.add_argument(
        "--warm-start", type=Path, metavar="STREAM", help="answers known before; not counted"
    )
    parser.add_argument(
        "--fit",
        type=Path,
        metavar="STREAM",
        help="learn student, gate and threshold from this stream first, then nothing more",
    )
    parser.add_argument(
        "--tune",
        metavar="PYTHON",
        help="with --fit: tune an encoder, too, in the environment of this Python with "
        "tutelage[train]; checkpoints lie beside --out",
    )
    parser.add_argument(
        "--label-delay",
        type=read_whole,
        default=0,
        metavar="N",
        help="the teacher's answers become known N queries later (0)",
    )
    parser.add_argument("--trace", type=Path, metavar="FILE", help="a JSON line per query")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the result", required=True)
    add_json(parser)
    parser.set_defaults(run=_replay)


def _replay(args: Namespace) -> int:
    for path in (args.out, args.trace):
        if path is None:
            continue
        if not path.parent.is_dir():
            raise ConfigError(f"There is no folder {path.parent} to write {path.name} into.")
        if path.is_dir():
            raise ConfigError(f"{path} is a folder; name a file to write.")
    if args.fit is not None and args.warm_start is not None:
        raise UsageError("--fit and --warm-start are two ways to begin: give one of them.")
    if args.fit is not None and (args.promise, args.usd_per_interaction, args.config) == (
        *(None, None, None),
    ):
        raise UsageError("--fit needs something to serve under: give --promise 0.95, say.")
    if args.tune is not None and args.fit is None:
        raise UsageError("--tune belongs to --fit: an encoder is tuned on that stream's answers.")
    rows = read_stream(args.stream)
    if args.fit is not None and args.fit.exists() and args.fit.samefile(args.stream):
        raise UsageError("--fit names the stream itself, which would measure memory: name another.")
    warm = read_stream(args.warm_start) if args.warm_start is not None else []
    fit = read_stream(args.fit) if args.fit is not None else []
    promise = _choose_promise(args)
    base = None
    if args.config is not None:  # the stream answers: no teacher is called
        base = load_settings(args.config, os.environ, need_secrets=False)
    ordered = order(rows, seed=args.seed, shuffle=not args.no_shuffle)[: args.limit]
    known = [*warm, *fit]
    settings = settings_for([*ordered, *known], base, promise, args.usd_per_interaction, known)
    if any(row.student is not None for row in ordered) and not has_student([*warm, *fit, *ordered]):
        print(
            "Some rows of the streams given lack a recorded draft, so the embedded student is "
            "replayed instead of the recorded one.",
            file=sys.stderr,
        )
    if args.tune is not None and has_student([*fit, *ordered]):
        raise UsageError("--tune tunes embedded students, but the stream has recorded drafts.")
    progress = Progress()
    run = asyncio.run(
        replay(
            ordered,
            settings,
            seed=args.seed,
            warm_start=warm,
            fit=fit,
            label_delay=args.label_delay,
            progress=progress.tell,
            tuner=_find_tuner(args, progress),
        )
    )
    progress.end()
    for note in (*run.notes, *_tell_rungs(settings)):
        print(note, file=sys.stderr)
    result = _summarize(args, settings, run)
    if args.trace is not None:
        write_trace(run.lines, args.trace)
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result) if args.json else _describe(result, args))
    return 0


def _tell_rungs(settings: Settings) -> Iterator[str]:
    """Further models were not asked when the stream was recorded."""
    for workload in settings.workloads:
        if workload.effective_rungs:
            names = ", ".join(workload.effective_rungs)
            yield (
                f"The rungs of workload {workload.name!r} ({names}) made no draft: a stream holds"
                " the answers of a teacher and of one student."
            )


def _find_tuner(args: Namespace, progress: Progress) -> Tuner | None:
    """Called again with the same rows, seed and --out, it goes on from its last checkpoint."""
    if args.tune is None:
        return None
    return Tuner(
        python=args.tune,
        folder=args.out.absolute().with_suffix(".training"),
        progress=lambda step, steps, loss: progress.tell(
            step, steps, f"tuning the encoder, loss {loss:.3f}"
        ),
    )


def _choose_promise(args: Namespace) -> PromiseSettings | None:
    promised = args.promise is not None or args.guarantee or args.confidence is not None
    if promised and args.usd_per_interaction is not None:
        raise UsageError(
            "--usd-per-interaction and --promise exclude each other: give a budget or a promise."
        )
    if args.promise is None:
        if args.confidence is not None:
            raise UsageError("--confidence belongs to a --promise: give both.")
        if args.guarantee:
            raise UsageError("--guarantee belongs to a --promise: give both.")
        return None
    return PromiseSettings(
        agreement=args.promise, confidence=args.confidence or 0.95, guarantee=args.guarantee
    )


def _summarize(args: Namespace, settings: Settings, run: Replayed) -> dict[str, Any]:
    """The result; promise and confidence are those in force where all rows share them."""
    names = {line.workload for line in run.lines}
    promises = {w.promise for w in settings.workloads if w.name in names and w.promise}
    promise = promises.pop() if len(promises) == 1 else None
    result = summarize(
        run.lines,
        stream=args.stream.name,
        seed=args.seed,
        promise=None if promise is None else promise.agreement,
        confidence=None if promise is None else promise.confidence,
        claims=run.claims,
        releases=run.releases,
        seconds=run.seconds,
        slices=slices_of(settings),
    )
    if run.measure_noise is not None:
        result["teacher_noise"] = run.measure_noise().describe()
    return result


def _describe(result: dict[str, Any], args: Namespace) -> str:
    held = {True: "held", False: "BROKEN", None: "none"}[result["promise_held"]]
    agreement = f"agreement {result['agreement']:.2%}"
    if result["agreement_served"] is not None:
        agreement += f" (of the student's answers {result['agreement_served']:.2%})"
    lines = [
        f"{count_of(result['n'], 'query', 'queries')}, {count_of(result['releases'], 'release')}, "
        f"{result['seconds']:.0f} s",
        f"asked {result['asked_rate']:.1%}, {agreement}, promise {held}",
    ]
    if (args.promise, args.config, args.usd_per_interaction) == (None, None, None):
        lines.append("Nothing was promised, so nothing was served: give --promise 0.95.")
    for one in result.get("slices", ()):
        if one["n"]:
            kept = "held" if one["promise_held"] else "BROKEN"
            lines.append(
                f"slice {one['slice']}: {count_of(one['n'], 'query', 'queries')}, asked "
                f"{one['asked_rate']:.1%}, agreement {one['agreement']:.2%}, promise {kept}"
            )
    for claimed in result["certified"] if args.usd_per_interaction is not None else ():
        lines.append(
            f"proven: at least {claimed['at_least']:.1%} agreement at "
            f"{claimed['confidence']:.0%} confidence"
        )
    if result["accuracy"] is not None and result["teacher_accuracy"] is not None:
        lines.append(
            f"accuracy {result['accuracy']:.1%}, the teacher's {result['teacher_accuracy']:.1%}"
        )
    if "teacher_noise" in result:
        lines.append(f"the teacher: {write_noise(result['teacher_noise'])}")
    if result["saving"] is not None:
        lines.append(f"saving {result['saving']:.1%}")
    return "\n".join([*lines, f"written to {args.out}"])
