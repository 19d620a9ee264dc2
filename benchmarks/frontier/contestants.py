"""Who takes part. A new ranker joins by one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from benchmarks.frontier.baselines import (
    DomainPrior,
    EncoderKnn,
    IsotonicConfidence,
    MatchedRandom,
    RawConfidence,
    TfidfRidge,
)
from benchmarks.frontier.factorisation import MatrixFactorisation
from benchmarks.frontier.product import ProductGate
from benchmarks.frontier.ranker import Ranker
from benchmarks.frontier.stacked import StackedGain
from benchmarks.frontier.vectors import RememberingEncoder

CONTESTANTS: Mapping[str, Callable[[RememberingEncoder], Ranker]] = MappingProxyType(
    {
        "matched random": lambda encoder: MatchedRandom(),
        "domain prior": lambda encoder: DomainPrior(),
        "tf-idf ridge on gain": lambda encoder: TfidfRidge(),
        "knn on embeddings": EncoderKnn,
        "matrix factorisation": MatrixFactorisation,
        "raw confidence": lambda encoder: RawConfidence(),
        "isotonic confidence": lambda encoder: IsotonicConfidence(),
        "stacked gain": StackedGain,
        "tutelage gate": lambda encoder: ProductGate(),
    }
)

REFERENCES = ("raw confidence", "tf-idf ridge on gain")
"""The others are compared with the first of these that a stream allows."""
