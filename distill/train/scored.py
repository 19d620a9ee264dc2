"""The configured model that scores tokens for a training, as the training reaches it."""

from __future__ import annotations

from typing import Any

from router.errors import TutelageError, UsageError
from router.settings.model import Settings

TOP = 20
"""Likeliest tokens that are asked for in each place."""


def find_scorer(settings: Settings, name: str, top: int = TOP) -> dict[str, Any]:
    """As ``recipes.scorer.open_scorer`` takes it: what it says is taught, so it must be one whose
    licence allows that. Raises UsageError or TutelageError."""
    model = settings.models.get(name)
    if model is None or model.upstream is None:
        served = ", ".join(key for key, one in settings.models.items() if one.upstream is not None)
        raise UsageError(f"The scorer {name}: the configured models with an upstream are {served}.")
    if model.distillation != "allowed":
        raise TutelageError(
            f"The scorer {name} has distillation: {model.distillation}. Only a model whose licence "
            f"allows it may teach: then set models.{name}.distillation to allowed."
        )
    return {
        **{"name": name, "upstream": model.upstream, "model": model.model},
        **{"key_env": model.api_key_env, "top": top, "retries": model.retries},
        **{"connect_s": model.timeout_s.connect, "total_s": model.timeout_s.total},
    }
