"""The frozen description of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from distill.train.losses.spec import LossSpec, parse_losses


class RecipeError(ValueError):
    """The recipe can't be run as it is described."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """``name``: one of RECIPES; ``epochs``: passes over the examples; ``batch``: examples a step;
    ``rank``: of the LoRA adapter on all linear layers, 0 trains every weight; ``max_tokens``:
    longer examples are left out and counted; ``checkpoint_steps``: steps between two
    checkpoints; ``new_tokens``: most tokens that a sampled draft may have.
    """

    name: str
    losses: LossSpec
    epochs: float = 1.0
    batch: int = 8
    learning_rate: float = 1e-3
    warmup: float = 0.05
    clip: float = 1.0
    rank: int = 16
    alpha: int = 32
    seed: int = 0
    max_tokens: int = 2048
    checkpoint_steps: int = 20
    new_tokens: int = 256

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready, with every default filled in."""
        return {**asdict(self), "losses": self.losses.as_mapping()}


RECIPES: Mapping[str, Mapping[str, object]] = {
    "standard": {"forward_kl": 1.0},
    # Where the scorer is unsure, likelihood would teach the student its own draft: no min_mass.
    "on_policy": {"jsd": {"beta": 0.5, "min_mass": 0.0}},
    "sequence": {"nll": 1.0},
    "preference": {"dpo": {"beta": 0.1, "anchor": 0.2}},
    "fine_tune": {"nll": 1.0, "replay_kl": 1.0},
}
"""Recipe → its losses by default. ``standard`` learns the teacher's distribution on its own
answers, ``on_policy`` on the student's drafts, which a teacher must score; ``sequence`` learns
answers; ``preference`` continues a student on drafts that the teacher ranked; ``fine_tune``
continues one on gold or corrections and holds on to old traffic."""

CONTINUES = frozenset({"preference", "fine_tune"})
"""These start from a trained adapter: a student that can't answer yet has nothing to rank."""


def make_recipe(
    name: str, losses: Mapping[str, object] | None = None, **options: float | int
) -> Recipe:
    """A recipe by name, its losses and options replaced. Raises RecipeError or LossSpecError."""
    if name not in RECIPES:
        raise RecipeError(f"unknown recipe {name!r}: choose among {', '.join(RECIPES)}")
    made = Recipe(name=name, losses=parse_losses(losses or RECIPES[name]))
    unknown = sorted(set(options) - set(vars(made)))
    if unknown:
        raise RecipeError(f"a recipe has no option {unknown[0]!r}")
    recipe = replace(made, **options)  # type: ignore[arg-type]
    for option in ("epochs", "batch", "learning_rate", "max_tokens", "checkpoint_steps"):
        if getattr(recipe, option) <= 0:
            raise RecipeError(f"{option} must be above 0, not {getattr(recipe, option)}")
    return recipe
