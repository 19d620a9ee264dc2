"""The chance that an answer still stands after a change means what it says.

Worlds are drawn as the rule believes they are: a label keeps all of its answers seven times in ten
and else a share that is anything alike; what is heard of it is as new. Some of what comes is of
intents never seen before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.unit.distill.test_trust import ALL, INTENTS, make

WORLDS = 20
_STRANGERS = 8
"""Intents that are new in every world, a quarter of what comes."""


def test_of_answers_with_such_a_chance_so_many_stand() -> None:
    pairs = np.vstack([_draw(seed) for seed in range(WORLDS)])
    chance, standing = pairs.T
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.0)):
        inside = (chance >= low) & (chance < high)
        assert inside.sum() >= 20
        gap = standing[inside] - chance[inside]
        # Labels of one world aren't independent; an allowance beside three standard errors.
        assert abs(gap.mean()) < 0.05 + 3 * gap.std() / inside.sum() ** 0.5, (low, high)


def _draw(seed: int) -> NDArray[np.float64]:
    """Of each older label the chance and the share of its answers that stand; shape (labels, 2)."""
    rng = np.random.default_rng(1_000 + seed)
    world = make(seed, ALL, range(INTENTS + _STRANGERS), newer=240)
    share = np.where(rng.random(INTENTS) < 0.7, 1.0, rng.random(INTENTS))
    share = np.append(share, np.ones(_STRANGERS))
    fell = rng.random(len(world.since)) > share[world.since]
    chance = world.standing(np.where(fell, world.since + 50, world.since).astype(np.int32))
    found = {int(label): kept for label, kept in zip(world.before, chance, strict=True)}
    return np.array([(found[label], share[label]) for label in ALL])
