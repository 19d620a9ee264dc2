"""The simulation with known truth, small: what is claimed is kept, and what breaks is seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.promise.simulation import Cell, Run, simulate, summarize
from benchmarks.promise.worlds import EXTRA, SCENARIOS, World
from policies.promise.certificate import LEVEL_MULTIPLES, Terms

TERMS = Terms(agreement=0.9, confidence=0.95)
RUNS, INTERACTIONS = 80, 1_200
ALLOWED = 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / RUNS)


def run_cell(scenario: str, kind: str, gate: str = "calibrated", runs: int = RUNS) -> list[Run]:
    cell = Cell(scenario=scenario, gate=gate, kind=kind)
    return simulate(cell, range(runs), terms=TERMS, interactions=INTERACTIONS)


def draw(scenario: str = "stationary", gate: str = "calibrated", n: int = INTERACTIONS) -> World:
    return World.draw(TERMS, scenario, gate, interactions=n, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("scenario", ["stationary", "abrupt", "lulling"])
@pytest.mark.parametrize("gate", ["calibrated", "too-sure"])
def test_a_guarantee_is_rarely_violated_whatever_happens(scenario: str, gate: str) -> None:
    runs = run_cell(scenario, "guarantee", gate)
    assert sum(run.violated for run in runs) / RUNS <= ALLOWED
    assert min(run.asked for run in runs) < 0.95  # it was put to use


@pytest.mark.long
@pytest.mark.parametrize("gate", ["calibrated", "too-sure"])
def test_a_certificate_is_rarely_violated_where_nothing_changes(gate: str) -> None:
    runs = run_cell("stationary", "certificate", gate)
    assert sum(run.violated for run in runs) / RUNS <= ALLOWED
    assert sum(run.asked < 0.7 for run in runs) > RUNS / 2


def test_what_assumes_that_nothing_changes_is_seen_to_fail_where_it_does() -> None:
    (certified,) = run_cell("abrupt", "certificate", runs=1)
    (validated,) = run_cell("abrupt", "validated", runs=1)
    assert certified.excess > 0.0
    assert not certified.broken
    assert validated.violated
    assert validated.broken
    assert certified.excess < validated.excess


def test_the_truth_of_a_threshold_is_what_it_delivers() -> None:
    world = draw("abrupt", "too-sure", n=200_000)
    threshold = float(world.thresholds()[4])
    served = world.doubts() <= 1.0 - threshold
    for extra in (0.0, EXTRA):
        wrong = [world.is_wrong(i, extra) for i in range(len(served))]
        assert np.mean(served & np.asarray(wrong)) == pytest.approx(
            world.risk_at(threshold, extra), abs=0.003
        )


def test_a_calibrated_gate_predicts_its_levels_and_one_too_sure_errs_by_its_factor() -> None:
    for gate, factor in (("calibrated", 1.0), ("too-sure", 3.0)):
        world = draw(gate=gate)
        for multiple, threshold in zip(LEVEL_MULTIPLES, world.thresholds(), strict=True):
            risk = min(0.2, factor * multiple * TERMS.risk)  # 0.2: all is served
            assert world.risk_at(float(threshold), 0.0) == pytest.approx(risk)


def test_the_oracle_asks_what_the_true_risk_leaves() -> None:
    # Serving depths below q has the risk q⁵/5.
    world = draw(n=100_000)
    nothing = np.zeros(100_000)
    assert world.oracle_asked(nothing) == pytest.approx(1.0 - 0.5**0.2, abs=0.005)
    assert world.oracle_asked(nothing + EXTRA) > world.oracle_asked(nothing)


def test_scenarios_are_amiss_when_they_should_be() -> None:
    places = [i / 12 for i in range(12)]
    amiss = {
        name: [scenario(place, False) > 0.0 for place in places]
        for name, scenario in SCENARIOS.items()
    }
    assert not any(amiss["stationary"] + amiss["lulling"])
    assert amiss["abrupt"] == [False] * 6 + [True] * 6
    assert amiss["gradual"] == [False] + [True] * 11
    assert amiss["recurring"] == [False, False, True, True] * 3
    assert SCENARIOS["lulling"](0.5, True) == EXTRA


def test_a_summary_counts_runs() -> None:
    cell = Cell(scenario="abrupt", gate="calibrated", kind="validated")
    runs = simulate(cell, range(3), terms=TERMS, interactions=INTERACTIONS)
    row = summarize(cell, runs)
    assert row["runs"] == 3
    share, low, high = row["violated"]
    assert (share, high) == (1.0, 1.0)
    assert low == pytest.approx(0.025 ** (1 / 3))  # Clopper and Pearson, where all are
    assert row["asked"] == pytest.approx(np.mean([run.asked for run in runs]))
