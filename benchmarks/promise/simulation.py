"""Simulation with known truth: how often is a promise broken, and at what cost?

    python -m benchmarks.promise.simulation --out simulation.json

Traffic of which the truth is known (``benchmarks.promise.worlds``) runs through the policies that
serve, ``PromisePolicy`` over its certificate and ``GuaranteePolicy`` over its ledger, without HTTP,
students or learning. Beside them: a threshold chosen once on the first 500 drafts, as if what held
there held for ever, and an oracle's asked share. Every run has a seed, and every kind sees the same
traffic.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.promise.intervals import share_with_interval
from benchmarks.promise.worlds import GATES, SCENARIOS, World
from policies.base import Policy
from policies.promise.certificate import Certificate, Terms
from policies.promise.guarantee import GuaranteePolicy
from policies.promise.ledger import Ledger
from policies.promise.policy import PromisePolicy
from policies.types import Ask, Evidence, Features, Tier, Trial

VALIDATION = 500
"""Drafts on which the uncertified threshold is chosen; the teacher answers them all."""

_READY = Features(workload="w", student_ready=True)
_CHUNK = 25


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of one run.

    ``violated``: what the kind claims failed to hold at some moment. Of the certificate and of the
    validated threshold: the true risk of what was delivered, averaged over all interactions so far,
    is at most the promised one. Of the guarantee: no more was delivered than its bound, and than
    its promise allows. ``broken``: the whole run's agreement is below the promise. ``ever_below``:
    that so far was, at some moment. ``excess``: the share of interactions at which the true risk in
    force was at least the promised one.
    """

    violated: bool
    broken: bool
    ever_below: bool
    excess: float
    agreement: float
    asked: float
    oracle_asked: float


class _Count:
    """Adds up one run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._served = self._delivered = self._over = 0
        self._risk = 0.0
        self._exceeded = self._ever_below = self._risky = False
        self._extras: list[float] = []

    def add(
        self, *, served: bool, wrong: bool, extra: float, risk: float = 0.0, bound: float = np.inf
    ) -> None:
        """One interaction.

        ``risk``: the true one of what was in force; ``bound``: no more disagreements than this may
        have been delivered.
        """
        self._extras.append(extra)
        self._served += served
        self._delivered += served and wrong
        self._risk += risk
        self._over += risk >= self._world.terms.risk
        self._risky |= self._risk > self._allowed()
        self._exceeded |= self._delivered > bound
        self._ever_below |= self._delivered > self._allowed()

    def end(self, *, guaranteed: bool) -> Run:
        n = len(self._extras)
        return Run(
            violated=self._exceeded or self._ever_below if guaranteed else self._risky,
            broken=self._delivered > self._allowed(),
            ever_below=self._ever_below,
            excess=self._over / n,
            agreement=1.0 - self._delivered / n,
            asked=1.0 - self._served / n,
            oracle_asked=self._world.oracle_asked(np.asarray(self._extras)),
        )

    def _allowed(self) -> float:
        # A disagreement more or less than a whole one isn't decided by rounding.
        return self._world.terms.risk * len(self._extras) + 1e-9


def run_certificate(world: World, seed: int) -> Run:
    """The policy over its certificate, with the thresholds that the gate predicts."""
    certificate = Certificate(world.terms)
    thresholds = world.thresholds()
    policy = PromisePolicy(certificate, thresholds, random.Random(seed).random)
    count = _Count(world)
    for i, doubt in enumerate(world.doubts().tolist()):
        level = certificate.level()
        extra = world.extra(i, level is not None)
        wrong = world.is_wrong(i, extra)
        ask = _decide(policy, 1.0 - doubt)
        certificate.observe(_trial(ask, wrong))
        risk = 0.0 if level is None else world.risk_at(float(thresholds[level]), extra)
        count.add(served=ask.tier is Tier.STUDENT, wrong=wrong, extra=extra, risk=risk)
    return count.end(guaranteed=False)


def run_guarantee(world: World, seed: int) -> Run:
    """The policy over its ledger."""
    ledger = Ledger(world.terms)
    policy = GuaranteePolicy(ledger, random.Random(seed).random)
    count = _Count(world)
    for i, doubt in enumerate(world.doubts().tolist()):
        extra = world.extra(i, ledger.can_serve() and ledger.choose_share(0.0) is not None)
        wrong = world.is_wrong(i, extra)
        ask = _decide(policy, 1.0 - doubt)
        ledger.observe(_trial(ask, wrong))
        served = ask.tier is Tier.STUDENT
        count.add(served=served, wrong=wrong, extra=extra, bound=ledger.bound())
    return count.end(guaranteed=True)


def run_validated(world: World, seed: int) -> Run:
    """No proof: the laxest threshold that keeps the promise on the first drafts, for ever after."""
    del seed  # nothing is drawn
    count = _Count(world)
    doubts = world.doubts()
    seen: list[bool] = []
    cut = -1.0
    for i, doubt in enumerate(doubts.tolist()):
        if i == VALIDATION:
            cut = _choose_cut(doubts[:i], seen, world.terms.risk)
        extra = world.extra(i, i >= VALIDATION)
        wrong = world.is_wrong(i, extra)
        seen.append(wrong)
        risk = world.risk_at(1.0 - cut, extra) if i >= VALIDATION else 0.0
        count.add(served=doubt <= cut, wrong=wrong, extra=extra, risk=risk)
    return count.end(guaranteed=False)


def _choose_cut(doubts: Any, wrong: Sequence[bool], risk: float) -> float:
    order = np.argsort(doubts, kind="stable")
    kept = np.flatnonzero(np.cumsum(np.asarray(wrong)[order]) <= risk * len(wrong))
    return float(doubts[order[kept[-1]]]) if len(kept) else -1.0


def _decide(policy: Policy, confidence: float) -> Ask:
    flow = policy.flow(_READY)
    next(flow)
    return flow.send(Evidence(available=True, confidence=confidence))


def _trial(ask: Ask, wrong: bool) -> Trial:
    """The interaction as the gateway would observe it."""
    served = ask.tier is Tier.STUDENT
    if ask.level is None:
        raise ValueError(f"an ask for the reason {ask.reason} is no interaction that counts")
    return Trial(
        level=ask.level,
        seen=not served,
        wrong=wrong,
        propensity=ask.floor if served else ask.propensity,
        floor=ask.floor,
        served=served,
    )


KINDS: Mapping[str, Callable[[World, int], Run]] = MappingProxyType(
    {"certificate": run_certificate, "guarantee": run_guarantee, "validated": run_validated}
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One line of the table."""

    scenario: str
    gate: str
    kind: str


def simulate(cell: Cell, seeds: Sequence[int], *, terms: Terms, interactions: int) -> list[Run]:
    """One run per seed."""
    runs = []
    for seed in seeds:
        world = World.draw(terms, cell.scenario, cell.gate, interactions=interactions, seed=seed)
        runs.append(KINDS[cell.kind](world, seed))
    return runs


def summarize(cell: Cell, runs: Sequence[Run]) -> dict[str, Any]:
    """Shares of runs with their 95 % intervals, means over runs, and the lowest agreement."""
    n = len(runs)
    shares = {
        name: share_with_interval(sum(getattr(run, name) for run in runs), n)
        for name in ("violated", "broken", "ever_below")
    }
    means = {
        name: sum(getattr(run, name) for run in runs) / n
        for name in ("excess", "asked", "oracle_asked")
    }
    lowest = min(run.agreement for run in runs)
    return {**asdict(cell), "runs": n, **shares, **means, "lowest_agreement": lowest}


def _write_row(row: Mapping[str, Any]) -> str:
    shares = "".join(
        f"{share:7.3f} [{low:.3f}, {high:.3f}]"
        for share, low, high in (row["violated"], row["broken"])
    )
    return (
        f"{row['scenario']:11}{row['gate']:11}{row['kind']:12}{shares}{row['ever_below'][0]:8.3f}"
        f"{row['excess']:8.3f}{row['lowest_agreement']:8.3f}{row['asked']:7.3f}"
        f"{row['oracle_asked']:7.3f}"
    )


_HEAD = (
    f"{'scenario':11}{'gate':11}{'kind':12}{'violated [95 %]':>21} {'broken at end [95 %]':>21}"
    f"{'ever':>8}{'excess':>8}{'lowest':>8}{'asked':>7}{'oracle':>7}"
)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All cells, printing a row each as soon as it is there."""
    began_s = time.perf_counter()
    terms = Terms(agreement=args.promise, confidence=args.confidence)
    work = partial(simulate, terms=terms, interactions=args.interactions)
    seeds = range(args.seed, args.seed + args.runs)
    chunks = [seeds[start : start + _CHUNK] for start in range(0, len(seeds), _CHUNK)]
    rows = []
    print(_HEAD, flush=True)
    with ProcessPoolExecutor(args.jobs) as pool:
        for scenario, gate, kind in product(args.scenarios, args.gates, args.kinds):
            if kind == "validated" and gate != args.gates[0]:
                continue  # only the order of the doubts counts for it, which all gates share
            cell = Cell(scenario=scenario, gate=gate, kind=kind)
            parts = pool.map(partial(work, cell), chunks)
            rows.append(summarize(cell, [run for part in parts for run in part]))
            print(_write_row(rows[-1]), flush=True)
    setup = {name: getattr(args, name) for name in ("promise", "confidence", "interactions")}
    seconds = time.perf_counter() - began_s
    print(f"{args.runs} runs each of {args.interactions} interactions, {seconds:.0f} s")
    return {**setup, "seed": args.seed, "rows": rows, "seconds": seconds}


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="per line of the table (1000)")
    parser.add_argument("--interactions", type=int, default=1200, help="of a run (1200)")
    parser.add_argument("--promise", type=float, default=0.9, help="agreement (0.9)")
    parser.add_argument("--confidence", type=float, default=0.95, help="of the promise (0.95)")
    for option, known in (("scenarios", SCENARIOS), ("kinds", KINDS)):
        parser.add_argument(f"--{option}", nargs="+", choices=list(known), default=list(known))
    parser.add_argument("--gates", nargs="+", choices=list(GATES), default=["calibrated"])
    parser.add_argument("--seed", type=int, default=0, help="of the first run (0)")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--out", type=Path, help="the table as JSON")
    return parser.parse_args()


def main() -> int:
    """Print the table; always 0: a benchmark measures."""
    args = _read_args()
    report = measure(args)
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
