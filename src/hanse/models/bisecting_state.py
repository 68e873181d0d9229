"""What a bisecting k-means knows between two rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hanse.models.cells import Grid
from hanse.models.tree import Node, Tree
from hanse.statistics import FloatArray

__all__ = ["BisectingState", "Phase"]

Phase = Literal["moments", "spread", "cells", "step", "final", "done"]


@dataclass(frozen=True)
class BisectingState:
    """The state that goes down to the data holders each round.

    Args:
        features: the columns of the training relation, in order.
        phase: what is observed next.
        origin: (d,) the overall centre, in feature units; sums are taken about it.
        tree: the splits so far.
        opening: the leaves to open.
        grids: for ``cells``, a grid for each of them.
        inertia: for ``done``, (leaves,) the exact inertia of each leaf of the tree.
    """

    features: tuple[str, ...]
    phase: Phase
    origin: FloatArray
    tree: Tree = (Node(),)
    opening: tuple[int, ...] = ()
    grids: tuple[Grid, ...] = ()
    inertia: FloatArray | None = None

    @property
    def leaves(self) -> list[int]:
        """The nodes that are not divided."""
        reached, waiting = [], [0]
        while waiting:
            node = waiting.pop()
            sides = self.tree[node].sides
            if sides is None:
                reached.append(node)
            else:
                waiting += sides
        return sorted(reached)

    @property
    def moving(self) -> list[int]:
        """The leaves below a split that has not settled."""
        reached, waiting = [], [(0, False)]
        while waiting:
            node, below = waiting.pop()
            here = self.tree[node]
            if here.sides is None:
                reached += [node] if below else []
            else:
                waiting += [(side, below or not here.settled) for side in here.sides]
        return sorted(reached)
