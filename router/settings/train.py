"""How a cycle trains a student that writes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from router.settings.values import Count, Section, Text, refuse_bool

Positive = Annotated[float, BeforeValidator(refuse_bool), Field(gt=0, lt=1e6)]

SCORED = ("standard", "on-policy")
"""Recipes that need a teacher's log-probabilities, which no record keeps."""

_OPTIONS = ("epochs", "batch", "learning_rate", "rank", "max_tokens", "new_tokens")


class TrainSettings(Section):
    """``base``: the weights that the student's servers have: a folder, a file or an id of a hub;
    ``pin``: how their digest must start; ``python``: of the environment that has torch, None for
    the one that learns. ``recipe``: those that begin with the base; ``scorer``: the configured
    model that tells how likely it finds each token. The rest is None where the recipe's own serves;
    ``threads``: of the training."""

    base: Text
    pin: Text | None = None
    python: Text | None = None
    recipe: Literal["sequence", "standard", "on-policy"] = "sequence"
    scorer: Text | None = None
    epochs: Positive | None = None
    batch: Count | None = None
    learning_rate: Positive | None = None
    rank: Count | None = None
    max_tokens: Count | None = None
    new_tokens: Count | None = None
    threads: Count | None = None

    @model_validator(mode="after")
    def _fits(self) -> TrainSettings:
        if self.recipe in SCORED and self.scorer is None:
            raise ValueError(
                f"has the recipe {self.recipe}, which needs scorer: who tells how likely each "
                "token is"
            )
        if self.recipe not in SCORED and self.scorer is not None:
            raise ValueError(f"has scorer, which is for {' and '.join(SCORED)}: remove it")
        if self.new_tokens is not None and self.recipe != "on-policy":
            raise ValueError("has new_tokens, which is for on-policy: remove it")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Of the recipe, as far as they are set."""
        given = {name: getattr(self, name) for name in _OPTIONS}
        return {name: value for name, value in given.items() if value is not None}


def read_train(value: Any) -> Any:
    """The weights alone, or all of it."""
    return {"base": value} if isinstance(value, str) else value
