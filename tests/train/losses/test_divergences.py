"""Divergences: zero at equality, never negative, coarser with a tail, right at their limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest

torch = pytest.importorskip("torch")
from distill.train.losses import buckets, divergences  # noqa: E402

pytestmark = pytest.mark.train

DIVERGENCES: dict[str, Callable[..., torch.Tensor]] = {
    "forward": divergences.forward_kl,
    "reverse": divergences.reverse_kl,
    "jsd": partial(divergences.generalised_jsd, beta=0.3),
    "skew": partial(divergences.skew_kl, alpha=0.2),
    "reverse_skew": partial(divergences.reverse_skew_kl, alpha=0.2),
}
every = pytest.mark.parametrize("divergence", DIVERGENCES.values(), ids=DIVERGENCES.keys())


def draw(seed: int, *shape: int, spread: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(*shape, generator=generator, dtype=torch.float64)


def top_of(teacher_logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    best = teacher_logits.log_softmax(-1).topk(k, dim=-1)
    return best.indices, best.values


@every
def test_it_is_zero_at_equality(divergence: Callable[..., torch.Tensor]) -> None:
    logits = draw(0, 5, 30)
    full = buckets.full_buckets(logits)
    assert divergence(full, full).abs().max() < 1e-12
    student, teacher = buckets.top_k_buckets(logits, *top_of(logits, 4))
    assert divergence(student, teacher).abs().max() < 1e-12


@every
@pytest.mark.parametrize("seed", range(20))
def test_it_is_never_negative_and_a_tail_never_adds(
    divergence: Callable[..., torch.Tensor], seed: int
) -> None:
    student, teacher = draw(seed, 16, 40), draw(seed + 100, 16, 40)
    full = divergence(buckets.full_buckets(student), buckets.full_buckets(teacher))
    assert full.min() > 0
    for k in (1, 5, 20, 39):
        coarse = divergence(*buckets.top_k_buckets(student, *top_of(teacher, k)))
        assert coarse.min() >= -1e-12
        assert (coarse <= full + 2 * buckets.SMALLEST_TAIL).all()


@every
def test_the_gradient_is_right(divergence: Callable[..., torch.Tensor]) -> None:
    student = draw(1, 3, 9, spread=1.5).requires_grad_()
    teacher = draw(2, 3, 9, spread=1.5)
    ids, log_probs = top_of(teacher, 3)
    ids[0, 2] = buckets.ABSENT

    def whole(logits: torch.Tensor) -> torch.Tensor:
        return divergence(buckets.full_buckets(logits, 1.7), buckets.full_buckets(teacher, 1.7))

    def coarse(logits: torch.Tensor) -> torch.Tensor:
        return divergence(*buckets.top_k_buckets(logits, ids, log_probs))

    assert torch.autograd.gradcheck(whole, (student,))
    assert torch.autograd.gradcheck(coarse, (student,))


def test_the_sums_are_those_of_the_definition() -> None:
    student, teacher = (draw(seed, 4, 7).log_softmax(-1) for seed in (3, 4))
    p, q = teacher.exp(), student.exp()
    middle = 0.3 * p + 0.7 * q
    forward = (p * (p / q).log()).sum(-1)
    jsd = 0.3 * (p * (p / middle).log()).sum(-1) + 0.7 * (q * (q / middle).log()).sum(-1)
    skew = (p * (p / (0.2 * p + 0.8 * q)).log()).sum(-1)
    reverse_skew = (q * (q / (0.2 * q + 0.8 * p)).log()).sum(-1)
    torch.testing.assert_close(DIVERGENCES["forward"](student, teacher), forward)
    torch.testing.assert_close(DIVERGENCES["reverse"](teacher, student), forward)
    torch.testing.assert_close(DIVERGENCES["jsd"](student, teacher), jsd)
    torch.testing.assert_close(DIVERGENCES["skew"](student, teacher), skew)
    torch.testing.assert_close(DIVERGENCES["reverse_skew"](student, teacher), reverse_skew)


def test_the_limits_of_beta_and_alpha() -> None:
    student, teacher = (draw(seed, 4, 7, spread=1.0).log_softmax(-1) for seed in (5, 6))
    forward = divergences.forward_kl(student, teacher)
    reverse = divergences.reverse_kl(student, teacher)
    near = 1e-6
    low = divergences.generalised_jsd(student, teacher, near) / near
    high = divergences.generalised_jsd(student, teacher, 1 - near) / near
    torch.testing.assert_close(low, forward, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(high, reverse, rtol=1e-4, atol=1e-5)
    assert torch.equal(divergences.generalised_jsd(student, teacher, 0.0), forward)
    assert torch.equal(divergences.generalised_jsd(student, teacher, 1.0), reverse)
    assert torch.equal(divergences.skew_kl(student, teacher, 0.0), forward)
    assert torch.equal(divergences.reverse_skew_kl(student, teacher, 0.0), reverse)
    assert divergences.skew_kl(student, teacher, 1.0).abs().max() < 1e-12
    assert divergences.reverse_skew_kl(student, teacher, 1 - 1e-9).abs().max() < 1e-6


def test_jsd_and_skew_stay_bounded_where_kl_does_not() -> None:
    student = torch.tensor([[0.0, -torch.inf]], dtype=torch.float64)
    teacher = torch.tensor([[-torch.inf, 0.0]], dtype=torch.float64)
    assert divergences.forward_kl(student, teacher).item() == torch.inf
    assert divergences.generalised_jsd(student, teacher, 0.5).item() == pytest.approx(math.log(2))
    assert divergences.skew_kl(student, teacher, 0.1).item() == pytest.approx(-math.log(0.1))


def test_an_impossible_token_leaves_a_finite_gradient() -> None:
    """The tokens of a grammar mask have −inf on both sides."""
    logits = draw(7, 2, 5)
    logits[:, 0] = -torch.inf
    logits.requires_grad_()
    teacher = draw(8, 2, 5)
    teacher[:, 0] = -torch.inf
    for divergence in DIVERGENCES.values():
        loss = divergence(buckets.full_buckets(logits), buckets.full_buckets(teacher)).sum()
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_the_tail_holds_what_the_tokens_leave() -> None:
    logits = draw(9, 6, 50)
    ids, log_probs = top_of(logits, 8)
    ids[0, 3:] = buckets.ABSENT
    student, teacher = buckets.top_k_buckets(logits, ids, log_probs)
    torch.testing.assert_close(student.exp().sum(-1), torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(student, teacher)
    mass = buckets.captured_mass(log_probs, ids)
    torch.testing.assert_close(1 - mass, student[:, -1].exp())
    assert mass[0] == log_probs[0, :3].exp().sum()


def test_top_k_of_the_whole_vocabulary_is_refused() -> None:
    logits = draw(10, 1, 4)
    with pytest.raises(ValueError, match="k is 4 of 4"):
        buckets.top_k_buckets(logits, *top_of(logits, 4))
    with pytest.raises(ValueError, match="beta must lie"):
        divergences.generalised_jsd(logits, logits, 1.5)
