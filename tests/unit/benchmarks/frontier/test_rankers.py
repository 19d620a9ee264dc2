"""Every ranker finds what it is made to find, on rows where that is all there is to find."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.frontier.baselines import DomainPrior, IsotonicConfidence, TfidfRidge
from benchmarks.frontier.contestants import CONTESTANTS
from benchmarks.frontier.factorisation import _slopes, teacher_margin, train_factors
from benchmarks.frontier.metrics import apgr, escalation_curve
from benchmarks.frontier.protocol import Split, score_split
from benchmarks.frontier.ranker import right
from benchmarks.frontier.rival import measure
from benchmarks.frontier.stacked import choose_views
from benchmarks.frontier.vectors import RememberingEncoder
from tests.unit.benchmarks.frontier.rows import make_row

_TOPICS = ("the price of apples", "a proof of the theorem")
TOPICAL = [
    make_row(
        i,
        question=f"{_TOPICS[i % 2]} number {i}",
        student=i % 2 == 0,
        logprob=-i % 7 / 7,
        workload=f"w{i % 2}",
    )
    for i in range(80)
]


@pytest.mark.parametrize(
    "name",
    [
        "domain prior",
        "tf-idf ridge on gain",
        "knn on embeddings",
        "matrix factorisation",
        "stacked gain",
    ],
)
def test_text_that_tells_all_is_used(name: str) -> None:
    ranker = CONTESTANTS[name](RememberingEncoder(None))
    scores, _ = score_split(ranker, Split(train=TOPICAL[:60], test=TOPICAL[60:]), seed=0)
    student, teacher = right(TOPICAL[60:])
    assert apgr(escalation_curve(scores, student, teacher)) > 0.7
    again, _ = score_split(ranker, Split(train=TOPICAL[:60], test=TOPICAL[60:]), seed=0)
    assert again.tolist() == scores.tolist()


def test_domain_prior_by_hand() -> None:
    ranker = DomainPrior()
    ranker.fit(TOPICAL, 0)
    # 40 rows of gain 0 and 40 of gain 1; the mean, .5, weighs ten rows.
    stranger = make_row(0, workload="new")
    assert ranker.score([TOPICAL[0], TOPICAL[1], stranger]) == pytest.approx([-0.1, -0.9, -0.5])


def test_isotonic_keeps_the_order_and_claims_frequencies() -> None:
    rows = [make_row(i, student=i >= 50, logprob=i / 100 - 1) for i in range(100)]
    ranker = IsotonicConfidence()
    ranker.fit(rows, 0)
    assert ranker.probability([rows[10], rows[90]]).tolist() == [0.0, 1.0]
    assert (np.diff(ranker.score(rows)) >= 0).all()


def test_tfidf_learns_from_harm_too() -> None:
    harmed = [make_row(i, question=f"{_TOPICS[i % 2]} {i}", teacher=i % 2 == 0) for i in range(40)]
    ranker = TfidfRidge()
    ranker.fit(harmed, 0)
    kept, harmful = ranker.score([make_row(0, question=topic) for topic in _TOPICS])
    assert harmful > kept


def test_factorisation_follows_its_gradient() -> None:
    random = np.random.default_rng(0)
    inputs, wins = random.normal(size=(6, 3)), np.array([1.0, 0, 1, 1, 0, 0])
    weights = [random.normal(size=shape) for shape in (4, 4, 4, (3, 4), 4)]

    def loss() -> float:
        margin = teacher_margin(weights, inputs)
        return float(np.mean(np.log1p(np.exp(margin)) - wins * margin))

    for j, slope in enumerate(_slopes(weights, inputs, wins)):
        for place in np.ndindex(weights[j].shape):
            kept = weights[j][place]
            weights[j][place] = kept + 1e-6
            above = loss()
            weights[j][place] = kept - 1e-6
            below = loss()
            weights[j][place] = kept
            assert slope[place] == pytest.approx((above - below) / 2e-6, abs=1e-6)


def test_factorisation_separates_what_a_plane_separates() -> None:
    random = np.random.default_rng(1)
    inputs = random.normal(size=(300, 8))
    wins = (inputs[:, 0] > 0).astype(float)
    margin = teacher_margin(train_factors(inputs, wins, seed=0), inputs)
    assert np.mean((margin > 0) == wins) > 0.95


def test_views_that_tell_nothing_stay_out() -> None:
    random = np.random.default_rng(2)
    gain = random.normal(size=400)
    helpful, noise, flat = gain + random.normal(size=400), random.normal(size=400), np.ones(400)
    views = np.column_stack([noise, helpful, flat, -helpful + random.normal(size=400)])
    assert choose_views(views, gain).tolist() == [1, 1, 0, 0]


def test_rival_is_measured_by_hand() -> None:
    queries = [("a", "x"), ("b", "y"), ("c", "z"), ("d", "z")]
    answers = [("x", "llm"), ("y", "local"), ("x", "local"), ("z", "local")]
    found = measure(queries, answers, seed=3)
    assert (found.asked_share, found.agreement) == (0.25, 0.75)
    assert found.agreement_served == pytest.approx(2 / 3)
    assert measure(queries[:1], answers[:1], seed=3).agreement_served is None
