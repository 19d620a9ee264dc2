"""``tutelage distill train``: from recorded answers to an adapter, or an encoder, that serves."""

from __future__ import annotations

import json
import signal
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from distill.commands.common import (
    Workplace,
    add_json,
    add_own_config,
    open_workplace,
    read_count,
    read_seed,
)
from distill.commands.progress import Progress
from distill.cycle import run_cycle
from distill.dataset import BuildTerms, Bundle, build_dataset
from distill.dataset.folder import DatasetError, find, load, save
from distill.dataset.model import Target
from distill.generative import need_student
from distill.heartbeat import hold
from distill.launch.choose import make_launcher
from distill.train.encoder.tuning import BASE
from distill.train.job import Job, find_here, find_training, name_recipe
from distill.train.onward import Course, Watching, train_and_adopt
from distill.train.scored import TOP, find_scorer
from distill.train.tuned import Tuner, write_choice
from distill.wording import count_of
from router.errors import StoreError, TutelageError, UsageError
from router.record.redact import Redactor
from router.settings.train import SCORED

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction

_SHORT = 12
_RECIPES = ("sequence", "preference", "fine-tune", "standard", "on-policy")

_ENCODER = "encoder"
_OPTIONS = (
    *("epochs", "batch", "learning_rate", "rank"),
    *("max_tokens", "new_tokens", "checkpoint_steps"),
)


def add_train(actions: _SubParsersAction[Any]) -> None:
    """Add ``train`` to the actions of ``distill``."""
    parser = actions.add_parser(
        "train",
        help="train a student that writes, or tune the encoder of an embedded one",
        epilog="example: tutelage distill train invoices --base ./smollm2 --python ~/t/bin/python",
    )
    parser.add_argument("workload", nargs="?", metavar="W", help="its answers are the dataset")
    parser.add_argument(
        "--dataset", metavar="DIGEST", help="one that was built; also to resume: else a new one"
    )
    parser.add_argument(
        "--recipe",
        choices=sorted([*_RECIPES, _ENCODER]),
        default="sequence",
        help="encoder: tunes that of the embedded student, and runs a learning cycle over it",
    )
    parser.add_argument(
        "--base",
        help="weights: a folder, a file, an id of a hub; for the recipe encoder, without it, "
        f"those of the package {BASE}",
    )
    parser.add_argument("--pin", metavar="DIGEST", help="how the digest of the weights must start")
    parser.add_argument("--start", metavar="ADAPTER", help="the folder of one to continue")
    parser.add_argument(
        "--scorer",
        metavar="MODEL",
        help=f"for {' and '.join(SCORED)}: the configured model, behind vLLM, that tells how "
        "likely it finds each token",
    )
    parser.add_argument(
        "--scorer-top",
        type=read_count,
        help=f"so many tokens in each place, which its --max-logprobs must allow ({TOP})",
    )
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="of the environment that has tutelage[train] (this one)",
    )
    parser.add_argument("--no-gate", action="store_true", help="leave it to the next cycle")
    _add_options(parser)
    add_own_config(parser)
    add_json(parser)
    parser.set_defaults(run=_train)


def _add_options(parser: ArgumentParser) -> None:
    said = "; else the recipe's own"
    parser.add_argument("--epochs", type=_read_positive, help=f"passes over the examples{said}")
    parser.add_argument("--batch", type=read_count, help=f"examples a step{said}")
    parser.add_argument("--learning-rate", type=_read_positive, help=f"its peak{said}")
    parser.add_argument("--rank", type=read_count, help=f"of the adapter{said}")
    parser.add_argument("--max-tokens", type=read_count, help=f"longer examples stay out{said}")
    parser.add_argument("--new-tokens", type=read_count, help=f"of a draft, on-policy{said}")
    parser.add_argument("--checkpoint-steps", type=read_count, help=f"between checkpoints{said}")
    parser.add_argument("--seed", type=read_seed, default=0, help="of all random choices (0)")
    parser.add_argument("--threads", type=read_count, help="of the training process; else torch's")


def _read_positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < 1e6:
        raise ArgumentTypeError(f"{text!r} must be a number above 0")
    return number


class Stopped(TutelageError):
    """A signal ended the run."""


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped("Training was stopped; the same command goes on from the last checkpoint.")


def _train(args: Namespace) -> int:
    if (args.workload is None) == (args.dataset is None):
        raise UsageError("Name either a workload or --dataset.")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)  # an exception, so that the process that trains ends, too
    if args.recipe == _ENCODER:
        return _tune(args)
    if args.base is None:
        raise UsageError(f"The recipe {args.recipe} needs --base: the weights of the servers.")
    _check_scoring(args)
    progress = Progress()
    with open_workplace(args.config) as place:
        need_student(place.settings)
        scorer = None
        if args.scorer is not None:
            scorer = find_scorer(place.settings, args.scorer, args.scorer_top or TOP)
        launcher = make_launcher(place.settings)
        bundle = _find_dataset(place, args)
        note = f"Learning from the dataset {bundle.digest[:_SHORT]} of {_workload_of(bundle)}."
        print(note, file=sys.stderr, flush=True)
        course = Course(
            settings=place.settings,
            store=place.store,
            bundle=bundle,
            job=_describe_job(place, args, bundle, launcher.threads, scorer),
            launcher=launcher,
            python=args.python,
            releases=place.settings.store.beside("releases").absolute(),
            with_gate=not args.no_gate,
            seed=args.seed,
        )
        with hold(place.store, f"train:{course.workload}") as held:
            if held is None:
                raise TutelageError(
                    f"Another run is training {course.workload}: wait for it, or end it; one that "
                    "was killed is given up within a minute."
                )
            try:
                entered = train_and_adopt(course, Watching(tell=progress.tell))
            finally:
                progress.end()
    report = entered.release.report
    if args.json:
        said = {"workload": entered.release.workload, "release": entered.release.digest, **report}
        print(json.dumps({**said, "dataset": course.bundle.digest}))
    else:
        print(_write(entered.release.number, entered.release.digest, report))
    if entered.problem:
        raise TutelageError(entered.problem)
    return 0


def _check_scoring(args: Namespace) -> None:
    if (args.scorer is not None) != (args.recipe in SCORED):
        raise UsageError(
            f"The recipe {args.recipe} needs --scorer: who tells how likely each token is."
            if args.scorer is None
            else f"The recipe {args.recipe} learns from text: --scorer is for {', '.join(SCORED)}."
        )
    if args.scorer_top is not None and args.scorer is None:
        raise UsageError("--scorer-top is for a scorer: name one by --scorer.")
    if args.new_tokens is not None and args.recipe != "on-policy":
        raise UsageError("--new-tokens is for the recipe on-policy: the others sample no drafts.")


def _tune(args: Namespace) -> int:
    """A learning cycle that tunes an encoder on the way; its ladder decides as ever."""
    if args.workload is None:
        raise UsageError("The recipe encoder learns from a workload's answers: name the workload.")
    for name in ("start", "rank", "no_gate", "scorer", "scorer_top", "new_tokens"):
        if getattr(args, name):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is for students that write, not for an encoder.")
    progress = Progress()
    with open_workplace(args.config) as place:
        if place.settings.generative_student is not None:
            raise UsageError("The configured student writes; an encoder is for embedded ones.")
        launcher = make_launcher(place.settings)
        tuner = Tuner(
            python=args.python,
            folder=find_training(place.settings, args.workload),
            base=BASE if args.base is None else find_here(args.base),
            pin=args.pin,
            options=_options_of(args),
            threads=args.threads or launcher.threads,
            launcher=launcher,
            progress=lambda step, steps, loss: progress.tell(step, steps, f"loss {loss:.4f}"),
        )
        try:
            outcome = run_cycle(replace(place.learner(args.seed), tuner=tuner), args.workload)
        finally:
            progress.end()
    said = {"workload": args.workload, "result": outcome.result, "sentence": outcome.sentence}
    told = outcome.detail.get("encoder")
    if args.json:
        print(json.dumps({**said, "encoder": told}))
    else:
        print("\n".join([outcome.sentence, *write_choice(told)]))
    return 0 if outcome.result in ("promoted", "on_trial") else 1


def _find_dataset(place: Workplace, args: Namespace) -> Bundle:
    if args.dataset is not None:
        return load(find(place.datasets, args.dataset))
    known = place.store.answers_by_workload()
    if args.workload not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise StoreError(
            f"Workload {args.workload!r} has no answers to learn from; there are: {listed}."
        )
    target: Target = "gold" if args.recipe == "fine-tune" else "teacher"
    dataset = build_dataset(
        args.workload,
        place.store.training_rows(args.workload),
        place.settings,
        Redactor(place.settings.data.redact),
        corrected=place.store.corrected(args.workload),
        terms=BuildTerms(seed=args.seed, target=target),
    )
    if not dataset.questions:
        dropped = ", ".join(f"{count} {reason}" for reason, count in dataset.dropped.items())
        raise DatasetError(f"Nothing is left to learn from: {dropped}.")
    save(place.datasets, dataset.bundle)
    return dataset.bundle


def _describe_job(
    place: Workplace,
    args: Namespace,
    bundle: Bundle,
    threads: int | None,
    scorer: Mapping[str, Any] | None,
) -> Job:
    return Job(
        base=find_here(args.base),
        pin=args.pin,
        folder=str(find_training(place.settings, _workload_of(bundle))),
        recipe=name_recipe(args.recipe),
        options={**_options_of(args), "seed": args.seed},
        start=None if args.start is None else str(Path(args.start).absolute()),
        threads=args.threads or threads,
        scorer=scorer,
    )


def _options_of(args: Namespace) -> dict[str, Any]:
    return {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}


def _workload_of(bundle: Bundle) -> str:
    return str(bundle.manifest["workload"])


def _write(number: int, digest: str, report: Mapping[str, Any]) -> str:
    judged = report["judged"]
    lines = [
        f"Release #{number} {digest[:_SHORT]} is a candidate: {report['adapter']['name']}, by the "
        f"recipe {report['recipe']} from {count_of(report['examples'], 'example')}.",
        f"  loss curve: {report['curve']}",
        f"  adapter:    {report['adapter']['folder']}",
    ]
    if report["left_out"]:
        counts = ", ".join(f"{count} with {why}" for why, count in report["left_out"].items())
        lines.append(f"  left out:   {counts}")
    if judged is not None:
        lines.append(
            f"  held out:   {judged['agreed']} of {judged['drafted']} drafts agree with the teacher"
            + (f"; gate: {judged['gate']}" if "gate" in judged else "; no gate")
        )
    lines.append(f"Put it in force with tutelage releases promote {digest[:_SHORT]}.")
    return "\n".join(lines)
