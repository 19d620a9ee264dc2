"""Processes that train one student together, as torchrun starts them: each takes its part of a
step's examples, and all change the same weights by the same averaged gradient.

The average counts each part by its examples, so it is that of the whole step where a loss is a mean
over examples. A mean over tokens, such as the likelihood's, is then one of means: a student that
two trained isn't, to the last digit, what one would have trained.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as processes
from torch import Tensor

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class Team:
    """``rank``: this process among ``size``."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that speaks and writes."""
        return self.rank == 0

    def share(self, rows: Sequence[Row]) -> Sequence[Row]:
        """This process' part of a step's examples; never empty: where there are fewer than
        processes, some take what others have."""
        return rows[self.rank :: self.size] or rows[:1]

    def average(self, weights: Iterable[Tensor], rows: int) -> None:
        """Make every gradient the mean over all processes, each counted by its ``rows``; of those
        that took what others have, none."""
        if self.size == 1:
            return
        mine = float(len(range(self.rank, rows, self.size)))
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            weight.grad.mul_(mine / rows)
            processes.all_reduce(weight.grad)

    def mean(self, value: float, rows: int) -> float:
        """Of a number, counted the same way."""
        if self.size == 1:
            return value
        mine = float(len(range(self.rank, rows, self.size)))
        held = torch.tensor(value * mine / rows, dtype=torch.float64)
        processes.all_reduce(held)
        return float(held)

    def tell(self, said: list[str] | None) -> list[str]:
        """What the first process says, to all."""
        box: list[Any] = [said]
        if self.size > 1:
            processes.broadcast_object_list(box, src=0)
        return list(box[0])

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            processes.barrier()

    def leave(self) -> None:
        """At the end."""
        if self.size > 1:
            processes.destroy_process_group()


ALONE = Team()


def join_team() -> Team:
    """The one that torchrun has made, else this process alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    processes.init_process_group("gloo")
    return Team(rank=processes.get_rank(), size=size)
