"""What may be learned from: records → an immutable, content-addressed dataset."""

from distill.dataset.build import build_dataset
from distill.dataset.model import (
    MAX_QUESTIONS,
    MIN_ANSWERS,
    MIN_COVERAGE,
    BuildTerms,
    Bundle,
    Dataset,
    Example,
    Question,
    TokenScores,
)

__all__ = [
    "MAX_QUESTIONS",
    "MIN_ANSWERS",
    "MIN_COVERAGE",
    "BuildTerms",
    "Bundle",
    "Dataset",
    "Example",
    "Question",
    "TokenScores",
    "build_dataset",
]
