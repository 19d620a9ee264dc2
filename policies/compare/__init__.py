"""Whether two answers agree: strictly, and in the way that the workload's answers call for."""

from policies.compare.base import Comparer
from policies.compare.registry import COMPARERS, choose_comparer, get_comparer

__all__ = ["COMPARERS", "Comparer", "choose_comparer", "get_comparer"]
