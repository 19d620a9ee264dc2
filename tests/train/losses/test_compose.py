"""Specs put together on a batch."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from distill.train.losses import sequence  # noqa: E402
from distill.train.losses.compose import Judged, Ranked, Signals, TopK, total_loss  # noqa: E402
from distill.train.losses.spec import TERMS, parse_losses  # noqa: E402
from tests.train.losses.test_divergences import draw, top_of  # noqa: E402

pytestmark = pytest.mark.train

LABELS = torch.tensor([[1, 2, -100], [3, -100, -100]])
WEIGHTS = torch.ones(2, dtype=torch.float64)


def signals(**more: object) -> Signals:
    given = {"logits": draw(0, 2, 3, 8), "labels": LABELS, "row_weights": WEIGHTS, **more}
    return Signals(**given)  # type: ignore[arg-type]


def value(losses: dict[str, object], **more: object) -> float:
    return total_loss(parse_losses(losses), signals(**more))[0].item()


@pytest.mark.parametrize("name", ["forward_kl", "reverse_kl", "jsd", "skew_kl", "reverse_skew_kl"])
def test_a_temperature_scales_by_its_square(name: str) -> None:
    """As T grows, T²·KL tends to the distance of centred logits, whatever T: of order one."""
    teacher = draw(1, 2, 3, 8)
    hot = value({name: {"temperature": 50.0}}, teacher_logits=teacher)
    hotter = value({name: {"temperature": 100.0}}, teacher_logits=teacher)
    assert hotter == pytest.approx(hot, rel=0.05)
    student = draw(0, 2, 3, 8)
    scaled = signals(logits=student / 2, teacher_logits=teacher / 2)
    plain = total_loss(parse_losses({name: 1.0}), scaled)[0].item()
    assert value({name: {"temperature": 2.0}}, teacher_logits=teacher) == pytest.approx(4 * plain)


def test_terms_add_up_by_weight() -> None:
    teacher = draw(1, 2, 3, 8)
    soft = value({"forward_kl": {"temperature": 2}}, teacher_logits=teacher)
    hard = value({"nll": 1.0})
    both = value(
        {"forward_kl": {"weight": 2, "temperature": 2}, "nll": 0.5}, teacher_logits=teacher
    )
    assert both == pytest.approx(2 * soft + 0.5 * hard)


def test_a_masked_position_changes_nothing() -> None:
    teacher, student = draw(1, 2, 3, 8), draw(0, 2, 3, 8)
    before = value({"jsd": 1.0}, teacher_logits=teacher)
    student[LABELS == -100] = 7.0
    student[..., 0][LABELS == -100] = -9.0
    assert value({"jsd": 1.0}, logits=student, teacher_logits=teacher) == before


def test_tokens_that_the_top_k_hardly_caught_get_plain_likelihood() -> None:
    teacher = torch.zeros(2, 3, 8, dtype=torch.float64)  # flat: two of eight catch a quarter
    ids, log_probs = top_of(teacher, 2)
    top = TopK(ids=ids, log_probs=log_probs)
    assert value({"forward_kl": 1.0}, top_k=top) == pytest.approx(value({"nll": 1.0}))
    trusting = value({"forward_kl": {"min_mass": 0.0}}, top_k=top)
    assert trusting != pytest.approx(value({"nll": 1.0}))
    assert trusting <= value({"forward_kl": 1.0}, teacher_logits=teacher)


def test_a_temperature_with_top_k_is_refused() -> None:
    ids, log_probs = top_of(draw(1, 2, 3, 8), 2)
    with pytest.raises(ValueError, match="temperature 1 with top-k"):
        value({"forward_kl": {"temperature": 2}}, top_k=TopK(ids=ids, log_probs=log_probs))


def test_replay_counts_the_replayed_rows_alone() -> None:
    student, incumbent = draw(0, 2, 3, 8), draw(1, 2, 3, 8)
    replayed = torch.tensor([False, True])
    loss = value({"replay_kl": 1.0}, incumbent_logits=incumbent, replayed=replayed)
    p, q = incumbent[1, 0].log_softmax(-1), student[1, 0].log_softmax(-1)
    assert loss == pytest.approx((p.exp() * (p - q)).sum().item())
    assert value({"replay_kl": 1.0}, incumbent_logits=student, replayed=replayed) < 1e-12


def test_dpo_takes_its_anchor_and_its_preference() -> None:
    policy = torch.tensor([[-4.0, -6.0]], dtype=torch.float64)
    ranked = Ranked(
        policy=policy,
        reference=torch.tensor([[-5.0, -5.0]], dtype=torch.float64),
        lengths=torch.tensor([[4, 4]]),
        grades=torch.tensor([[1.0, 0.0]]),
        present=torch.ones(1, 2, dtype=torch.bool),
        preference=torch.tensor([0.9], dtype=torch.float64),
    )
    margin = torch.tensor(0.2, dtype=torch.float64)
    log_odds = torch.nn.functional.logsigmoid
    expected = -0.9 * log_odds(margin) - 0.1 * log_odds(-margin) + 0.5 * 1.0
    assert value({"dpo": {"beta": 0.1, "anchor": 0.5}}, ranked=ranked) == pytest.approx(
        expected.item()
    )


def test_confidence_of_the_teacher_weighs_rows() -> None:
    confidence = torch.tensor([1.0, 0.0], dtype=torch.float64)
    losses = {"nll": {"teacher_confidence": 2.0}}
    alone = sequence.sequence_nll(
        draw(0, 2, 3, 8)[:1], LABELS[:1], torch.ones(1, 3).double() * (LABELS[:1] != -100)
    )
    assert value(losses, confidence=confidence) == pytest.approx(alone.item())


@pytest.mark.parametrize("name", sorted(set(TERMS) - {"nll"}))
def test_a_missing_part_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"the loss {name} needs"):
        value({name: 1.0})


def test_calibration_reads_judged_drafts() -> None:
    judged = Judged(mean_log_prob=torch.zeros(2), agreed=torch.tensor([1.0, 0.0]))
    assert value({"calibration": 1.0}, judged=judged) == 0.5
