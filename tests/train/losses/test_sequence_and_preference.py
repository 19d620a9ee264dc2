"""Likelihood, masks and weights; preferences and rankings; the gate's calibration."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional  # noqa: E402

from distill.train.losses import preference, sequence  # noqa: E402
from tests.train.losses.test_divergences import draw  # noqa: E402

pytestmark = pytest.mark.train


def test_likelihood_is_cross_entropy_where_all_weigh_alike() -> None:
    logits, labels = draw(0, 2, 4, 6), torch.tensor([[1, 2, -100, 5], [-100, 0, 3, -100]])
    weights = sequence.token_weights(labels, torch.ones(2, dtype=torch.float64))
    expected = functional.cross_entropy(logits.reshape(-1, 6), labels.reshape(-1))
    torch.testing.assert_close(sequence.sequence_nll(logits, labels, weights), expected)


def test_what_is_masked_does_not_count_at_all() -> None:
    logits, labels = draw(1, 2, 4, 6).requires_grad_(), torch.tensor([[1, -100], [2, -100]])
    weights = sequence.token_weights(labels, torch.ones(2, dtype=torch.float64))
    value = sequence.sequence_nll(logits[:, :2], labels, weights)
    poisoned = logits[:, :2].clone()
    poisoned[:, 1] = torch.nan
    assert sequence.sequence_nll(poisoned, labels, weights).item() == value.item()
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient[:, 1:].abs().max() == 0
    nothing = sequence.masked_mean(poisoned.sum(-1), torch.zeros(2, 2, dtype=torch.float64))
    assert nothing.item() == 0


def test_rows_confidence_and_reasoning_weigh() -> None:
    labels = torch.tensor([[4, 5, 6], [7, 8, -100]])
    weights = sequence.token_weights(
        labels,
        torch.tensor([1.0, 3.0]),
        confidence=torch.tensor([0.5, 1.0]),
        reasoning=torch.tensor([[True, False, False], [False, False, False]]),
        reasoning_weight=0.2,
    )
    torch.testing.assert_close(weights, torch.tensor([[0.1, 0.5, 0.5], [3.0, 3.0, 0.0]]))


def test_log_likelihoods_of_answers() -> None:
    logits, labels = draw(2, 1, 3, 5), torch.tensor([[2, -100, 4]])
    log_probs = logits.log_softmax(-1)[0]
    summed = log_probs[0, 2] + log_probs[2, 4]
    torch.testing.assert_close(sequence.sequence_log_probs(logits, labels)[0], summed)
    torch.testing.assert_close(sequence.mean_log_probs(logits, labels)[0], summed / 2)


def test_calibration_is_least_at_the_share_that_agrees() -> None:
    agreed = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    weights = torch.ones(4, dtype=torch.float64)

    def at(confidence: float) -> float:
        mean = torch.full((4,), math.log(confidence), dtype=torch.float64)
        return sequence.calibration(mean, agreed, weights).item()

    assert min((at(step / 100), step) for step in range(1, 100))[1] == 75
    assert at(0.99) > at(0.75)
    sure = torch.tensor([0.0, 0.0, 0.0, -50.0], dtype=torch.float64)
    assert sequence.calibration(sure, agreed, weights).item() < 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_plackett_luce_of_two_is_dpo(seed: int) -> None:
    scored = draw(seed, 8, 2)
    present = torch.ones(8, 2, dtype=torch.bool)
    torch.testing.assert_close(
        preference.plackett_luce(scored, present), preference.dpo(scored[:, 0], scored[:, 1])
    )


def test_plackett_luce_is_the_probability_of_the_order() -> None:
    scored = draw(3, 1, 3)
    first = scored.exp()[0]
    chance = first[0] / first.sum() * first[1] / (first[1] + first[2])
    whole = torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(preference.plackett_luce(scored, whole)[0], -chance.log())
    padded = torch.cat([scored, torch.full((1, 2), 99.0, dtype=torch.float64)], dim=-1)
    present = torch.tensor([[True, True, True, False, False]])
    torch.testing.assert_close(preference.plackett_luce(padded, present)[0], -chance.log())


def test_a_soft_preference_is_least_at_its_own_odds() -> None:
    chance = torch.tensor([0.8], dtype=torch.float64)
    margin = torch.logit(chance).requires_grad_()
    loss = preference.dpo(margin, torch.zeros(1, dtype=torch.float64), chance)
    entropy = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    assert loss.item() == pytest.approx(entropy)
    (gradient,) = torch.autograd.grad(loss.sum(), margin)
    assert gradient.abs().max() < 1e-12


def test_lipo_weighs_mistakes_by_gain_and_place() -> None:
    scored = torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64)
    gains = torch.tensor([[0.0, 2.0, 1.0]], dtype=torch.float64)
    places = {0: 1, 1: 2, 2: 3}
    expected = 0.0
    for better, worse in ((1, 0), (1, 2), (2, 0)):
        gain = abs(2 ** gains[0, better] - 2 ** gains[0, worse])
        place = abs(1 / math.log2(1 + places[better]) - 1 / math.log2(1 + places[worse]))
        expected += gain * place * math.log1p(math.exp(scored[0, worse] - scored[0, better]))
    whole = torch.ones(1, 3, dtype=torch.bool)
    assert preference.lipo(scored, gains, whole).item() == pytest.approx(float(expected))
    tied = preference.lipo(scored, torch.ones_like(gains), whole)
    assert tied.item() == 0


def test_gradients_of_preferences() -> None:
    scored = draw(4, 3, 4, spread=1.0).requires_grad_()
    present = torch.tensor([[True] * 4, [True] * 3 + [False], [True] * 2 + [False] * 2])
    gains = torch.tensor([[3.0, 2.0, 1.0, 0.0]]).repeat(3, 1)
    chance = torch.full((3,), 0.7, dtype=torch.float64)
    check = torch.autograd.gradcheck
    assert check(lambda given: preference.plackett_luce(given, present), (scored,))
    assert check(lambda given: preference.lipo(given, gains, present), (scored,))
    assert check(lambda given: preference.dpo(given[:, 0], given[:, 1], chance), (scored,))
    labels = torch.tensor([[1, 0, -100]] * 2)
    weights = sequence.token_weights(labels, torch.ones(2, dtype=torch.float64))
    logits = draw(5, 2, 3, 4, spread=1.0).requires_grad_()
    assert check(lambda given: sequence.sequence_nll(given, labels, weights), (logits,))
    agreed = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert check(
        lambda given: sequence.calibration(
            sequence.mean_log_probs(given, labels), agreed, torch.ones(2, dtype=torch.float64)
        ),
        (logits,),
    )
