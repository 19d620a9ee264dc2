"""Packed top-k log-probabilities: small, within their error, never misread."""

from __future__ import annotations

import numpy as np
import pytest

from distill.train.topk import LOWEST, MAX_ERROR, TopKError, from_bytes, pack_rows, pack_top_k


def _teacher(seed: int, tokens: int, spread: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Ids and log-probabilities of the 20 likeliest of 60,000 tokens."""
    logits = np.random.default_rng(seed).normal(0, spread, (tokens, 60_000))
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    ids = np.argsort(-log_probs, axis=1)[:, :20]
    return ids, np.take_along_axis(log_probs, ids, axis=1)


def test_a_token_takes_at_most_130_bytes() -> None:
    packed = pack_top_k(*_teacher(0, 200)).to_bytes()
    assert len(packed) / 200 <= 130


@pytest.mark.parametrize("seed", range(3))
def test_it_comes_back_within_the_bound(seed: int) -> None:
    ids, log_probs = _teacher(seed, 50, spread=1.0 + 3 * seed)
    back = from_bytes(pack_top_k(ids, log_probs).to_bytes())
    found, values = back.unpack()
    assert (found == ids).all()
    kept = np.maximum(log_probs, LOWEST)
    assert np.abs(values - kept).max() <= MAX_ERROR * (1 + 1e-9)
    assert MAX_ERROR < 2e-4
    mass = np.exp(log_probs).sum(axis=1)
    assert np.abs(back.captured_mass - mass).max() < 1e-7


def test_the_bound_is_reached_and_not_passed() -> None:
    """Every place between two codes: half a step is the worst."""
    values = np.linspace(LOWEST, -5.0, 100_001)[:, None]
    _, back = pack_top_k(np.zeros_like(values, dtype=np.int64), values).unpack()
    worst = np.abs(back - values).max()
    assert 0.9 * MAX_ERROR < worst <= MAX_ERROR * (1 + 1e-9)


def test_rows_of_a_server_are_sorted_cut_and_padded() -> None:
    packed = pack_rows([{7: -0.1, 9: -3.0, 4: -2.5}, {5: -0.5}], 2)
    ids, values = packed.unpack()
    assert ids.tolist() == [[7, 4], [5, -1]]
    assert values[1, 1] == -np.inf
    assert packed.captured_mass[1] == pytest.approx(np.exp(-0.5), abs=1e-7)
    assert from_bytes(packed.to_bytes()).unpack()[0].tolist() == ids.tolist()


def test_a_surrogate_for_zero_is_kept_small() -> None:
    """Servers write −9999 for a probability of zero."""
    _, values = pack_rows([{1: 0.0, 2: -9999.0}], 2).unpack()
    assert values.tolist() == [[0.0, LOWEST]]


def test_what_is_no_distribution_is_refused() -> None:
    ids = np.array([[1, 2]])
    with pytest.raises(TopKError, match="sum to 2"):
        pack_top_k(ids, np.array([[0.0, 0.0]]))
    with pytest.raises(TopKError, match="at most 0"):
        pack_top_k(ids, np.array([[0.5, -1.0]]))
    with pytest.raises(TopKError, match="must match"):
        pack_top_k(ids, np.array([[0.5]]))


def test_damaged_bytes_are_refused() -> None:
    packed = pack_top_k(*_teacher(0, 2)).to_bytes()
    for damaged in (packed[:5], packed[:-1], packed + b"x", b"x" * len(packed)):
        with pytest.raises(TopKError):
            from_bytes(damaged)
