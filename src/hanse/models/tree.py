"""A tree of splits that is still growing: its nodes, where rows go, and which cluster is divided next."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hanse import expressions as e
from hanse.models.geometry import Geometry
from hanse.models.starts import Branch
from hanse.statistics import FloatArray, Statistics

__all__ = [
    "Node",
    "Tree",
    "chosen_splits",
    "descend",
    "drawn_back",
    "filled",
    "graft",
    "joined",
    "moved",
    "side_of",
    "whole",
]


@dataclass(frozen=True)
class Node:
    """One cluster of the tree, whole or divided.

    Args:
        count: rows; 0 while nobody has counted them.
        weight: sum of the rows' weights.
        sums: (d,) weighted sum of the rows about the origin.
        squares: weighted sum of their squared lengths; None while nobody has summed them.
        by_feature: (d,) the same sum, feature by feature, where it was taken so.
        pair: (2, d) centroids about the origin that part the two sides; None for a leaf.
        sides: the two nodes below.
        tried: whether opening it has been tried; a leaf that was tried cannot be divided.
        settled: whether ``pair`` is final.
        steps: how many times ``pair`` was moved.
        pull: (2, d) how far the sides' means stood from ``pair`` in the step before; None before the first.
        reach: how many times that far ``pair`` was moved.
    """

    count: float = 0.0
    weight: float = 0.0
    sums: FloatArray | None = None
    squares: float | None = None
    by_feature: FloatArray | None = None
    pair: FloatArray | None = None
    sides: tuple[int, int] | None = None
    tried: bool = False
    settled: bool = True
    steps: int = 0
    pull: FloatArray | None = None
    reach: float = 1.0

    def leaf(self, *, tried: bool) -> Node:
        """The same cluster, undivided."""
        return replace(self, pair=None, sides=None, tried=tried, settled=True, steps=0, pull=None)


_FURTHEST = 4.0  # how far a pair may be moved, in units of its pull


_NEAR_SQ = 0.01  # of the variance: a smaller pull tells of the end of the iteration, a larger one of its beginning


def moved(node: Node, means: FloatArray, variance: float, *, reaching: bool) -> Node:
    """The node with its pair moved to where the sides' means (2, d) are heading.

    Lloyd's iteration closes in on its end by a nearly constant ratio, so the ratio of two pulls tells how far the end
    is (Aitken's extrapolation). Far from the end plain steps are taken.

    Args:
        node: a divided cluster.
        means: (2, d) of its sides, about the origin.
        variance: inertia by weight, of both sides.
        reaching: whether to reach further than the means at all.
    """
    assert node.pair is not None  # only divided nodes have means
    pull = means - node.pair
    reach = 1.0
    if reaching and node.pull is not None and float((pull**2).sum(axis=1).max()) <= _NEAR_SQ * variance:
        square = float((node.pull**2).sum())
        ratio = float((pull * node.pull).sum()) / square if square > 0 else 0.0
        closing = (1.0 - ratio) / node.reach
        reach = min(max(1.0 / closing, 1.0), _FURTHEST) if closing > 0 else _FURTHEST
    return replace(node, pair=node.pair + reach * pull, pull=pull, reach=reach)


def drawn_back(node: Node) -> Node:
    """The node as if its last move had been a plain step: it reached too far and left a side without rows."""
    assert node.pair is not None  # only divided nodes are moved
    assert node.pull is not None  # and only those with a pull reach further
    return replace(node, pair=node.pair - (node.reach - 1.0) * node.pull, pull=None, reach=1.0)


Tree = tuple[Node, ...]
"""Node 0 is the root; nodes below stand after their parent."""


def side_of(normal: FloatArray, offset: float, place: Sequence[e.Expression]) -> e.Expression:
    """The condition that a row stands on the first side of a plane: ``normal . place >= offset``.

    Args:
        normal: (d,) of the plane.
        offset: of its points along the normal.
        place: (d,) where the row stands, as :meth:`hanse.models.geometry.Geometry.place` has it.
    """
    return e.at_least(e.dot(normal.tolist(), place), e.number(offset))


def descend(
    tree: Tree,
    at_leaf: Mapping[int, e.Expression],
    place: Sequence[e.Expression],
    geometry: Geometry,
    node: int = 0,
) -> e.Expression | None:
    """Where a row goes: a CASE over the splits that ends in ``at_leaf[leaf]``; -1 for other leaves.

    Returns:
        None where no leaf below ``node`` is in ``at_leaf``.
    """
    if node in at_leaf:
        return at_leaf[node]
    here = tree[node]
    if here.sides is None or here.pair is None:
        return None
    first, second = (descend(tree, at_leaf, place, geometry, side) for side in here.sides)
    if first is None and second is None:
        return None
    normal, offset = geometry.planes(here.pair)
    condition = side_of(normal, float(offset), place)
    nothing = e.integer(-1)  # no NULL: engines group small numbers by their place in a table
    return e.case([e.when(condition, first or nothing)], second or nothing)


def chosen_splits(
    tree: Tree, clusters: int, cost: Callable[[Node], float], order: str, divisible: Callable[[Node], bool]
) -> tuple[list[int], list[int]]:
    """Which nodes are divided when ``clusters`` are wanted.

    Args:
        tree: all splits known so far; the tree does not depend on the order in which they were found.
        clusters: how many leaves are wanted.
        cost: a node's inertia.
        order: ``inertia``: the largest next; ``size``: level by level, the largest first, as Spark has it.
        divisible: which clusters may be divided.

    Returns:
        the nodes to divide, and those among their leaves that would be divided too but were never opened.
    """
    pick = _by_inertia if order == "inertia" else _by_size
    return pick(tree, clusters, cost, divisible)


def _by_inertia(
    tree: Tree, clusters: int, cost: Callable[[Node], float], divisible: Callable[[Node], bool]
) -> tuple[list[int], list[int]]:
    divided: list[int] = []
    unopened: list[int] = []
    waiting = [(-cost(tree[0]), 0)]
    while waiting and len(divided) + len(unopened) + 1 < clusters:
        _, node = heapq.heappop(waiting)
        here = tree[node]
        if here.sides is not None:
            divided.append(node)
            for side in here.sides:
                heapq.heappush(waiting, (-cost(tree[side]), side))
        elif not here.tried and divisible(here):
            unopened.append(node)
    return divided, unopened


def _by_size(
    tree: Tree, clusters: int, cost: Callable[[Node], float], divisible: Callable[[Node], bool]
) -> tuple[list[int], list[int]]:
    divided: list[int] = []
    unopened: list[int] = []
    level = [0]
    while level and len(divided) + len(unopened) + 1 < clusters:
        able = [n for n in level if tree[n].sides is not None or (not tree[n].tried and divisible(tree[n]))]
        able.sort(key=lambda n: (-tree[n].count, n))
        able = able[: clusters - 1 - len(divided) - len(unopened)]
        unopened += [n for n in able if tree[n].sides is None]
        if unopened:
            break
        divided += able
        level = [side for n in able for side in (tree[n].sides or ())]
    return divided, unopened


def filled(node: Node, total: Statistics, i: int) -> Node:
    """The node with the sums of cell ``i``, whose squares are summed by feature or over all of them."""
    squares = np.asarray(total["square"][i])
    return replace(
        node,
        count=float(total["count"][i]),
        weight=float(total["weight"][i]),
        sums=total["sum"][i],
        squares=float(squares.sum()),
        by_feature=squares if squares.ndim else None,
    )


def joined(node: Node, left: Node, right: Node) -> Node:
    """The node with the sums of its two sides."""
    assert left.sums is not None  # both sides were counted in this round
    assert right.sums is not None
    return replace(
        node,
        count=left.count + right.count,
        weight=left.weight + right.weight,
        sums=left.sums + right.sums,
        squares=(left.squares or 0.0) + (right.squares or 0.0),
        by_feature=None,
    )


def whole(tree: Sequence[Node], node: int) -> Node:
    """The node with the sums of all leaves below it."""
    here = tree[node]
    if here.sides is None:
        return here
    return joined(here, whole(tree, here.sides[0]), whole(tree, here.sides[1]))


def graft(tree: list[Node], leaf: int, branch: Branch) -> None:
    """Put a grown branch in place of a leaf."""
    if branch.pair is None:
        return
    first = len(tree)
    tree[leaf] = replace(tree[leaf], pair=branch.pair, sides=(first, first + 1), tried=True, settled=False, steps=0)
    tree += [Node(), Node()]
    for position, side in enumerate(branch.sides):
        graft(tree, first + position, side)
