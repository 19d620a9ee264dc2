"""``tutelage distill dataset build | show | diff | export``."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.commands.common import (
    add_json,
    add_own_config,
    open_workplace,
    read_count,
    read_seed,
)
from distill.dataset import MAX_QUESTIONS, BuildTerms, Bundle, build_dataset
from distill.dataset.comparing import compare
from distill.dataset.export import rows_for, write_rows
from distill.dataset.folder import DatasetError, find, list_kept, load, save
from distill.wording import count_of
from router.errors import StoreError
from router.record.redact import Redactor

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction

_SHORT = 12
_DEFAULT = BuildTerms()


def add_dataset(actions: _SubParsersAction[Any]) -> None:
    """Add ``dataset`` to the actions of ``distill``."""
    parser = actions.add_parser("dataset", help="what is learned from: build, show, diff, export")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    build = verbs.add_parser(
        "build",
        help="make a dataset of a workload's answers",
        epilog="example: tutelage distill dataset build --workload support-intent",
    )
    _add_terms(build)
    build.set_defaults(run=_build)
    show = verbs.add_parser(
        "show",
        help="all datasets, or what went into one, what didn't and why",
        epilog="example: tutelage distill dataset show 3f9c1a2b",
    )
    show.add_argument("digest", nargs="?", help="its digest, or the first 6 or more characters")
    show.set_defaults(run=_show)
    diff = verbs.add_parser(
        "diff",
        help="what one dataset has and another hasn't",
        epilog="example: tutelage distill dataset diff 3f9c1a2b 77e0d4c1",
    )
    diff.add_argument("before", metavar="DIGEST")
    diff.add_argument("after", metavar="DIGEST")
    diff.set_defaults(run=_diff)
    export = verbs.add_parser(
        "export",
        help="as a file that TRL, Axolotl or LLaMA-Factory reads",
        epilog="example: tutelage distill dataset export 3f9c1a2b --split train --out train.jsonl",
    )
    export.add_argument("digest", help="its digest, or the first 6 or more characters")
    export.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help=".parquet, else JSON lines"
    )
    export.add_argument("--format", choices=("messages", "preference"), default="messages")
    export.add_argument(
        "--for",
        dest="trainer",
        choices=("trl", "axolotl", "llama-factory"),
        default="trl",
        help="whose form preferences have (trl)",
    )
    export.add_argument("--split", choices=("train", "held_out"), help="only this part; else all")
    export.set_defaults(run=_export)
    for verb in (build, show, diff, export):
        add_own_config(verb)
        add_json(verb)


def _add_terms(build: ArgumentParser) -> None:
    build.add_argument("--workload", required=True, metavar="W")
    build.add_argument(
        "--target",
        choices=("teacher", "gold"),
        default=_DEFAULT.target,
        help="gold: corrections from feedback, within their bounds, in place of answers (teacher)",
    )
    build.add_argument(
        "--reasoning",
        choices=("keep", "shorten", "drop"),
        default=_DEFAULT.reasoning,
        help="traces before an answer (keep)",
    )
    build.add_argument(
        "--since",
        metavar="DIGEST",
        help="only what is newer than that dataset, beside a share of what is old; else all",
    )
    build.add_argument(
        "--replay",
        type=_read_share,
        default=_DEFAULT.replay,
        metavar="SHARE",
        help=f"of old questions, with --since ({_DEFAULT.replay:g})",
    )
    build.add_argument(
        "--held-out",
        type=_read_share,
        default=_DEFAULT.held_out,
        metavar="SHARE",
        help=f"of the newest questions, to evaluate on ({_DEFAULT.held_out:g})",
    )
    build.add_argument(
        "--near",
        type=_read_share,
        default=_DEFAULT.near,
        metavar="SIMILARITY",
        help=f"from which questions with one answer are one; 0: never ({_DEFAULT.near:g})",
    )
    build.add_argument(
        "--most",
        type=read_count,
        default=MAX_QUESTIONS,
        metavar="N",
        help=f"of more questions, a random sample ({MAX_QUESTIONS:,})",
    )
    build.add_argument("--seed", type=read_seed, default=0, help="of all random choices (0)")


def _read_share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise ArgumentTypeError(f"{text!r} must be a number from 0, below 1")
    return share


def _build(args: Namespace) -> int:
    with open_workplace(args.config) as place:
        if place.store.count_answers(args.workload) == 0:
            known = ", ".join(sorted(place.store.answers_by_workload())) or "none"
            raise StoreError(
                f"Workload {args.workload!r} has no answers to learn from; there are: {known}."
            )
        since = None
        if args.since is not None:
            before = find(place.datasets, args.since).manifest
            if before["workload"] != args.workload:
                raise DatasetError(
                    f"The dataset {args.since} is of workload {before['workload']}; name one of "
                    f"{args.workload}."
                )
            # The next instant: what that dataset ends with is not new.
            since = before["span"]["to"] + 1e-6 if before["span"] else None
        terms = BuildTerms(
            seed=args.seed,
            most_questions=args.most,
            near=args.near or None,
            held_out=args.held_out,
            reasoning=args.reasoning,
            since=since,
            replay=args.replay,
            target=args.target,
        )
        dataset = build_dataset(
            args.workload,
            place.store.training_rows(args.workload),
            place.settings,
            Redactor(place.settings.data.redact),
            corrected=place.store.corrected(args.workload),
            terms=terms,
        )
        if not dataset.questions:
            raise DatasetError(f"Nothing is left to learn from: {_count(dataset.dropped)}.")
        path = save(place.datasets, dataset.bundle)
    _tell(args, dataset.bundle.manifest, f"Written to {path}.")
    return 0


def _show(args: Namespace) -> int:
    with open_workplace(args.config) as place:
        if args.digest is not None:
            kept = find(place.datasets, args.digest)
            gone = kept.withdrawn
            note = "" if gone is None else f"Withdrawn: {gone['reason']}."
            _tell(args, {**kept.manifest, "withdrawn": gone}, note)
            return 0
        found = list(list_kept(place.datasets))
    if args.json:
        print(json.dumps([{**k.manifest, "withdrawn": k.withdrawn} for k in found], indent=2))
        return 0
    if not found:
        print("No datasets yet.")
    for kept in found:
        manifest = kept.manifest
        state = "" if kept.withdrawn is None else f"  withdrawn: {kept.withdrawn['reason']}"
        print(
            f"{kept.digest[:_SHORT]}  {manifest['workload']}  "
            f"{count_of(manifest['examples'], 'example')}, "
            f"{count_of(manifest['answers'], 'answer')}{state}"
        )
    return 0


def _tell(args: Namespace, manifest: Any, note: str) -> None:
    if args.json:
        print(json.dumps(manifest, indent=2))
        return
    print(f"{manifest['digest']}  {manifest['workload']}")
    print(
        f"{count_of(manifest['examples'], 'example')} with "
        f"{count_of(manifest['answers'], 'different answer')}, of "
        f"{count_of(manifest['rows'], 'row')}"
    )
    for title in ("dropped", "splits", "mix", "gold", "reasoning", "teachers", "keys"):
        if manifest[title]:
            print(f"{title:<10} {_count(manifest[title])}")
    if note:
        print(note)


def _count(counts: Any) -> str:
    return ", ".join(f"{count:,} {name or '(no key)'}" for name, count in counts.items())


def _diff(args: Namespace) -> int:
    before, after = (_load(args, start) for start in (args.before, args.after))
    found = compare(before, after)
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, value in found["manifest"].items():
        print(f"{name}: {json.dumps(value['before'])} → {json.dumps(value['after'])}")
    for name in ("removed", "added", "changed"):
        print(f"{name}: {count_of(len(found[name]), 'example')}")
    return 0


def _load(args: Namespace, start: str) -> Bundle:
    with open_workplace(args.config) as place:
        return load(find(place.datasets, start))


def _export(args: Namespace) -> int:
    bundle = _load(args, args.digest)
    chosen = [e for e in bundle.examples if args.split in (None, e.split)]
    rows = list(rows_for(chosen, args.format, args.trainer))
    if not rows:
        raise DatasetError(
            f"No example of {bundle.digest[:_SHORT]} can be written as {args.format}"
            + (": nothing worse than an answer is known." if args.format == "preference" else ".")
        )
    write_rows(rows, args.out)
    if args.json:
        print(json.dumps({"rows": len(rows), "examples": len(chosen), "out": str(args.out)}))
    else:
        print(f"{count_of(len(rows), 'row')} of {count_of(len(chosen), 'example')} in {args.out}.")
    return 0
