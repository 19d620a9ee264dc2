"""``tutelage frontier``: what every threshold would cost and how well it would answer."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from policies.estimate import Estimate, Outlook
from router.commands.opening import open_store
from router.deciding.alone import read_alone
from router.deciding.frontier import Frontier, NotYet, read_frontier
from router.errors import ConfigError, StoreError
from router.meter.money import show_usd, usd
from router.overlay import read_in_force
from router.record.store import Store
from router.settings.load import DEFAULT_CONFIG, find_config, load_settings

_MOST_ROWS = 20
_NAMES = {
    "teacher": "teacher only",
    "student": "student only",
    "in_force": "in force",
    "promise": "keeps the promise",
    "budget": "within budget",
}


def add_options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--workload", metavar="W", help="one workload instead of all")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the gateway's configuration (./{DEFAULT_CONFIG} where it exists)",
    )
    parser.add_argument(
        "--usd-per-interaction",
        type=_read_usd,
        metavar="X",
        help="mark the best agreement that costs at most X",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there, too")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: Namespace) -> int:
    """Print the frontier of each workload; 1 where none could be told. Raises TutelageError."""
    out: Path | None = args.out
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"{out} can't be written: name a file in a folder that exists.")
    settings = load_settings(find_config(args.config), os.environ, need_secrets=False)
    found, missing, alone = [], {}, []
    with closing(open_store(settings)) as store:
        settings = read_in_force(settings, store)
        names = _choose_workloads(store, args.workload)
        for name in names:
            alone += read_alone(store, name)
            try:
                found.append(read_frontier(store, settings, name, args.usd_per_interaction))
            except NotYet as error:
                missing[name] = str(error)
    if missing and args.workload is not None and not args.json and not alone:
        raise NotYet(missing[args.workload])
    report = {"frontiers": [frontier.to_json() for frontier in found], "not_yet": missing}
    if alone:
        report["alone"] = [one.to_json() for one in alone]
    text = json.dumps(report, indent=2, allow_nan=False)
    if out is not None:
        try:
            out.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{out} can't be written: {error.strerror}.") from None
    if args.json:
        print(text)
    else:
        told = [f"{one.workload}: {one.describe()}" for one in alone]
        print("\n\n".join([*map(describe, found), *missing.values(), *told]))
    return 0 if found else 1


def _read_usd(text: str) -> Decimal:
    try:
        amount = usd(text)
    except ValueError:
        amount = Decimal(-1)
    if amount < 0:
        raise ArgumentTypeError(f"{text!r} must be an amount of USD such as 0.005")
    return amount


def _choose_workloads(store: Store, named: str | None) -> list[str]:
    known = store.workloads()
    if named is not None and named not in known:
        listed = ", ".join(known) or "none"
        raise StoreError(f"Nothing is logged for workload {named!r}; there are: {listed}.")
    if not known:
        raise NotYet("Not yet: nothing is logged; send the gateway some traffic first.")
    return known if named is None else [named]


def describe(frontier: Frontier) -> str:
    """The frontier as a table, marked thresholds and some between them."""
    confidence = f"{frontier.confidence:.0%}"
    lines = [
        f"{frontier.workload}: release {frontier.release[:12]}, {frontier.interactions} "
        f"interactions, {frontier.drafts} drafts, {frontier.checked} of them checked",
        f"{'threshold':>9}  {'served':>6}  {'asked':>6}  {'USD per interaction':<27}  "
        f"{'saving':>6}  {'agreement':<22}  of what is served",
    ]
    lines += [_describe_row(frontier, index) for index in _choose_rows(frontier)]
    lines.append(
        f"In brackets: {confidence} intervals, each for its own threshold. What is served is "
        f"checked in the background at {frontier.audit_share:.0%}, which the cost includes."
    )
    if frontier.agreement is not None and frontier.marks["promise"] == 0:
        lines.append(
            f"No threshold is shown yet to keep {frontier.agreement:.2%} over {frontier.over}; "
            "more checked drafts narrow the intervals."
        )
    if frontier.usd_per_interaction is not None and frontier.marks["budget"] is None:
        lines.append(
            f"No threshold stays within {show_usd(frontier.usd_per_interaction)} per interaction."
        )
    if frontier.outlooks[0].cost_usd is None:
        lines.append("Costs are unknown: answers came without usage, or the teacher has no price.")
    if frontier.left_out:
        listed = ", ".join(
            f"{count} {reason.replace('_', ' ')}" for reason, count in frontier.left_out.items()
        )
        lines.append(f"Left out: {listed}.")
    return "\n".join(lines)


def _choose_rows(frontier: Frontier) -> list[int]:
    last = len(frontier.outlooks) - 1
    some = {last * k // (_MOST_ROWS - 1) for k in range(_MOST_ROWS)}
    return sorted(some | {index for index in frontier.marks.values() if index is not None})


def _describe_row(frontier: Frontier, index: int) -> str:
    outlook: Outlook = frontier.outlooks[index]
    threshold = "–" if outlook.threshold is None else f"{outlook.threshold:.5f}"
    saving = "unknown" if outlook.saving is None else f"{outlook.saving:.1%}"
    marks = ", ".join(_NAMES[name] for name, at in frontier.marks.items() if at == index)
    row = (
        f"{threshold:>9}  {outlook.served:>6.1%}  {outlook.asked:>6.1%}  "
        f"{_show_cost(outlook.cost_usd):<27}  {saving:>6}  {_show_share(outlook.agreement):<22}  "
        f"{_show_share(outlook.agreement_served):<22}  {marks}"
    )
    return row.rstrip()


def _show_cost(cost: Estimate | None) -> str:
    if cost is None:
        return "unknown"
    shown = [show_usd(usd(amount)) for amount in (cost.value, cost.low, cost.high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _show_share(share: Estimate | None) -> str:
    if share is None:
        return "–"
    return f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"
