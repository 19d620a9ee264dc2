"""Signals of the tokens' log-probabilities, as a server reports them with ``logprobs: true``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.scoring.gate import logit_of_logprob

TOP = 5
"""Alternatives to ask for per token: enough for a margin and most of the entropy."""

_WINDOW = 8
_LEAST = -100.0
"""Servers write −9999 or −inf for what they hold impossible."""

Floats = NDArray[np.float64]


def measure_tokens(logprobs: object) -> dict[str, float]:
    """``summarise_tokens`` as a gate reads it."""
    return read_signals(summarise_tokens(logprobs))


def summarise_tokens(logprobs: object) -> dict[str, float]:
    """Named signals of a choice's ``logprobs``, as streams record them; none where there are no
    log-probabilities.

    ``mean_logprob``, ``min_logprob``, ``tenth_logprob`` (quantile .1), ``window_logprob`` (lowest
    mean of 8 tokens in a row), ``first_logprob``; ``tokens`` (log1p of their number);
    ``least_margin`` and ``mean_entropy`` over the reported alternatives (nats). The summed
    log-probability is left out: it measures length.
    """
    tokens = _tokens_of(logprobs)
    values = np.maximum([_number(token.get("logprob")) for token in tokens], _LEAST)
    if not tokens or np.isnan(values).any():
        return {}
    width = min(_WINDOW, len(values))
    window = np.convolve(values, np.full(width, 1.0 / width), mode="valid").min()
    found = {
        "mean_logprob": float(values.mean()),
        "min_logprob": float(values.min()),
        "tenth_logprob": float(np.quantile(values, 0.1)),
        "window_logprob": float(window),
        "first_logprob": float(values[0]),
        "tokens": math.log1p(len(values)),
    }
    tops = [_alternatives(token) for token in tokens]
    if all(len(top) > 1 for top in tops):
        found["least_margin"] = min(float(top[0] - top[1]) for top in tops)
        found["mean_entropy"] = float(np.mean([-(np.exp(top) * top).sum() for top in tops]))
    return found


def read_signals(recorded: Mapping[str, float]) -> dict[str, float]:
    """Measured evidence as a gate reads it: log-probabilities as log-odds, the rest as it is."""
    return {
        name: logit_of_logprob(value) if name.endswith("logprob") else value
        for name, value in sorted(recorded.items())
        if math.isfinite(value)
    }


def _tokens_of(logprobs: object) -> Sequence[Mapping[str, Any]]:
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, list):
        return ()
    return [token for token in content if isinstance(token, Mapping)]


def _alternatives(token: Mapping[str, Any]) -> Floats:
    """The reported log-probabilities, the highest first."""
    listed = token.get("top_logprobs")
    options = listed if isinstance(listed, list) else []
    values = [_number(one.get("logprob")) for one in options if isinstance(one, Mapping)]
    tops: Floats = np.sort(np.maximum([v for v in values if not math.isnan(v)], _LEAST))[::-1]
    return tops


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
