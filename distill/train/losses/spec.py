"""Which losses to add up: a frozen spec, parsed from a mapping. Needs no torch.

{"forward_kl": {"weight": 1.0, "temperature": 2.0}, "nll": {"weight": 0.1}}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

_WEIGHT = (1.0, 0.0, math.inf)
_BETA_DPO = (0.1, 0.0, math.inf)
_MIN_MASS = (0.5, 0.0, 1.0)
"""Below half of the teacher's mass its top-k says little: such tokens get plain likelihood."""
_SOFT = {"weight": _WEIGHT, "temperature": (1.0, 0.01, 100.0), "min_mass": _MIN_MASS}

TERMS: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "forward_kl": _SOFT,
    "reverse_kl": _SOFT,
    "jsd": {**_SOFT, "beta": (0.5, 0.0, 1.0)},
    "skew_kl": {**_SOFT, "alpha": (0.1, 0.0, 0.999)},
    "reverse_skew_kl": {**_SOFT, "alpha": (0.1, 0.0, 0.999)},
    "nll": {
        "weight": _WEIGHT,
        "reasoning_weight": (1.0, 0.0, 100.0),
        "teacher_confidence": (0.0, 0.0, 10.0),
    },
    "dpo": {"weight": _WEIGHT, "beta": _BETA_DPO, "anchor": (1.0, 0.0, math.inf)},
    "plackett_luce": {"weight": _WEIGHT, "beta": _BETA_DPO, "anchor": (1.0, 0.0, math.inf)},
    "lipo": {"weight": _WEIGHT, "beta": _BETA_DPO, "anchor": (1.0, 0.0, math.inf)},
    "calibration": {"weight": _WEIGHT},
    "replay_kl": {"weight": _WEIGHT},
}
"""Term → option → (default, least, most). ``teacher_confidence`` is the exponent of the teacher's
confidence in a row's weight, 0 for none; ``anchor`` the weight of the best draft's likelihood per
token beside a preference (Pang et al. 2024, "Iterative Reasoning Preference Optimization")."""

SOFT_TERMS = frozenset(name for name, options in TERMS.items() if "temperature" in options)
PREFERENCE_TERMS = frozenset(name for name, options in TERMS.items() if "anchor" in options)


class LossSpecError(ValueError):
    """The configuration of the losses can't be read; the message says what to change."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """One loss with its options, all set."""

    name: str
    options: Mapping[str, float]

    @property
    def weight(self) -> float:
        return self.options["weight"]


@dataclass(frozen=True, kw_only=True)
class LossSpec:
    """The terms in the order in which they were written; at least one."""

    terms: tuple[Term, ...]

    def has(self, names: frozenset[str]) -> bool:
        return any(term.name in names for term in self.terms)

    def as_mapping(self) -> dict[str, dict[str, float]]:
        """What ``parse_losses`` reads, with every default filled in."""
        return {term.name: dict(term.options) for term in self.terms}


def parse_losses(given: Mapping[str, object]) -> LossSpec:
    """Read a mapping of term → options; a bare number is the weight.

    Raises LossSpecError for an unknown term or option, a value out of range, or no term at all.
    """
    if not given:
        raise LossSpecError(f"no loss is named: choose at least one of {', '.join(TERMS)}")
    terms = tuple(_parse_term(name, options) for name, options in given.items())
    if not any(term.weight > 0 for term in terms):
        raise LossSpecError("every loss has the weight 0: give at least one a positive weight")
    return LossSpec(terms=terms)


def _parse_term(name: str, given: object) -> Term:
    if name not in TERMS:
        raise LossSpecError(f"unknown loss {name!r}: choose among {', '.join(TERMS)}")
    if isinstance(given, (int, float)):
        given = {"weight": given}
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise LossSpecError(f"the loss {name} needs a weight or a mapping of options")
    known = TERMS[name]
    for option in given:
        if option not in known:
            raise LossSpecError(
                f"the loss {name} has no option {option!r}: it has {', '.join(known)}"
            )
    options = {
        option: _number(f"{name}.{option}", given.get(option, default), least, most)
        for option, (default, least, most) in known.items()
    }
    return Term(name=name, options=options)


def _number(place: str, value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise LossSpecError(f"{place} must be a number, not {value!r}")
    if not least <= value <= most:
        raise LossSpecError(f"{place} must lie between {least:g} and {most:g}, not {value:g}")
    return float(value)
