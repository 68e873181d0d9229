"""How splits open: many starts compete over a cloud of cells, in memory, and the best are kept.

Along every principal axis the cloud is cut at several offsets, and where one cut costs least. Each cut starts Lloyd's
iteration; the cheapest outcomes win. The first split is the one that decides, so the best few of *its* outcomes are all
carried on to the full number of clusters (a beam), and the cheapest tree wins: the greedy choice can be a trap.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hanse.models.cells import Cloud, principal_axes
from hanse.models.geometry import Geometry
from hanse.statistics import BoolArray, FloatArray

__all__ = ["Branch", "Divisible", "grow"]

OFFSETS = (0.0, 1.0, -1.0, 2.0, -2.0, 4.0, -4.0, 8.0, -8.0, 16.0, -16.0)
"""Where each principal axis is cut, in standard deviations from the centre."""

_OPENING_STEPS = 4  # of Lloyd's iteration for every start, before the best are taken further
_FINALISTS = 16  # of the first split's starts are taken further, at the least
_LATER_FINALISTS = 4  # of a later split's, of which only the best counts
_FINAL_STEPS = 16

Divisible = Callable[[float, float], bool]
"""Whether a cluster of this many rows and this inertia may be divided."""


@dataclass(frozen=True)
class Branch:
    """A node of a tree of splits.

    Args:
        pair: (2, d) the centroids of its two sides, about the origin; None for a leaf.
        sides: the two branches below; empty for a leaf.
    """

    pair: FloatArray | None = None
    sides: tuple[Branch, ...] = ()


@dataclass(frozen=True)
class _Cut:
    """One way to cut a cloud in two: a side for each cell (c,), and the inertia that is left."""

    side: BoolArray
    cost: float


def grow(cloud: Cloud, clusters: int, beam: int, geometry: Geometry, divisible: Divisible) -> Branch:
    """The cheapest tree of at most ``clusters`` leaves over a cloud, the cluster of largest inertia split first.

    Args:
        cloud: what to divide.
        clusters: leaves at the most.
        beam: how many outcomes of the first split are carried on.
        geometry: how costs are measured.
        divisible: which clusters may be divided.
    """
    if clusters < 2 or len(cloud) < 2:
        return Branch()
    openings = _cuts(cloud, geometry, max(_FINALISTS, beam))[: beam if clusters > 2 else 1]
    grown = [_greedy(cloud, clusters, cut, geometry, divisible) for cut in openings]
    return min(grown, key=lambda pair: pair[0])[1] if grown else Branch()


def _greedy(cloud: Cloud, clusters: int, first: _Cut, geometry: Geometry, divisible: Divisible) -> tuple[float, Branch]:
    """Split the cluster of largest inertia until there are enough; returns inertia and tree."""
    clouds: list[Cloud] = [cloud]
    cuts: dict[int, tuple[_Cut, int, int]] = {}
    waiting: list[tuple[float, int]] = [(-_cost(cloud, geometry), 0)]
    settled = 0.0
    leaves = 1
    while waiting and leaves < clusters:
        cost, node = heapq.heappop(waiting)
        here = clouds[node]
        found = [first] if node == 0 else []
        if node != 0 and len(here) > 1 and divisible(float(here.count.sum()), -cost):
            found = _cuts(here, geometry, _LATER_FINALISTS)[:1]
        if not found:
            settled -= cost
            continue
        halves = (here.part(found[0].side), here.part(~found[0].side))
        cuts[node] = (found[0], len(clouds), len(clouds) + 1)
        for half in halves:
            heapq.heappush(waiting, (-_cost(half, geometry), len(clouds)))
            clouds.append(half)
        leaves += 1
    return settled - sum(c for c, _ in waiting), _branch(0, clouds, cuts, geometry)


def _branch(node: int, clouds: list[Cloud], cuts: dict[int, tuple[_Cut, int, int]], geometry: Geometry) -> Branch:
    if node not in cuts:
        return Branch()
    _, left, right = cuts[node]
    pair = np.stack([_mean(clouds[left], geometry), _mean(clouds[right], geometry)])
    return Branch(pair, (_branch(left, clouds, cuts, geometry), _branch(right, clouds, cuts, geometry)))


def _mean(cloud: Cloud, geometry: Geometry) -> FloatArray:
    return geometry.means(cloud.weight.sum(), cloud.sums.sum(axis=0))


def _cost(cloud: Cloud, geometry: Geometry) -> float:
    return float(geometry.cost(cloud.weight.sum(), cloud.sums.sum(axis=0), cloud.squares.sum()))


def _cuts(cloud: Cloud, geometry: Geometry, finalists: int) -> list[_Cut]:
    """Ways to cut a cloud in two, the cheapest first; outcomes of the same cost count once."""
    points = np.ascontiguousarray(cloud.points.T)
    sides = _openings(cloud, points)
    if not len(sides):
        return []
    sides, costs = _lloyd(cloud, points, sides, geometry, _OPENING_STEPS)
    sides, costs = _lloyd(cloud, points, sides[_distinct(costs)[:finalists]], geometry, _FINAL_STEPS)
    return [_Cut(sides[i], float(costs[i])) for i in _distinct(costs)]


def _distinct(costs: FloatArray) -> list[int]:
    """Indices by rising cost, one for each cost (to six digits)."""
    kept: list[int] = []
    for i in np.argsort(costs, kind="stable"):
        if np.isfinite(costs[i]) and (not kept or costs[i] > costs[kept[-1]] * (1 + 1e-6) + 1e-300):
            kept.append(int(i))
    return kept


def _openings(cloud: Cloud, points: FloatArray) -> BoolArray:
    """(s, c) boolean: in each start the side of each cell; ``points`` is (d, c)."""
    weight = cloud.weight
    centred = points - (points @ weight / weight.sum())[:, None]
    axes, spread = principal_axes((centred * weight) @ centred.T / weight.sum())
    along = axes @ centred
    cuts = [along > (offset * spread)[:, None] for offset in OFFSETS]
    table = np.concatenate([*cuts, _best_cuts(along, weight, centred)])
    inside = np.count_nonzero(table, axis=1)
    return np.asarray(table[(inside > 0) & (inside < len(cloud))])


def _best_cuts(along: FloatArray, weight: FloatArray, centred: FloatArray) -> BoolArray:
    """(a, c) boolean: for each axis the half-space that leaves least inertia, from running sums in the axis's order."""
    order = np.argsort(along, axis=1, kind="stable")
    left = np.cumsum(weight[order], axis=1)[:, :-1]
    moved = np.cumsum((centred * weight)[:, order], axis=2)[:, :, :-1]
    gain = np.einsum("jac,jac->ac", moved, moved) / (left * np.maximum(weight.sum() - left, 1e-300))
    sides = np.zeros(along.shape, dtype=bool)
    for side, cells, best in zip(sides, order, np.argmax(gain, axis=1), strict=True):
        side[cells[: best + 1]] = True
    return sides


def _lloyd(
    cloud: Cloud, points: FloatArray, sides: BoolArray, geometry: Geometry, steps: int
) -> tuple[BoolArray, FloatArray]:
    """Lloyd's iteration from every start at once.

    Args:
        cloud: the cells.
        points: (d, c) their means.
        sides: (s, c) boolean, a start in each row.
        geometry: how costs are measured.
        steps: how many at the most.

    Returns:
        sides (s, c) and the inertia (s,) that they leave; infinite where one side fell empty.
    """
    table = np.column_stack([cloud.weight, cloud.sums, cloud.squares])
    whole = table.sum(axis=0)
    costs = np.full(len(sides), np.inf)
    for step in range(steps):
        left = sides.astype(np.float64) @ table
        halves = np.stack([left, whole - left])  # (2, s, 2 + d)
        empty = np.any(halves[:, :, 0] <= whole[0] * 1e-15, axis=0)
        halves[:, empty, 0] = 1.0  # so that nothing is divided by zero
        weight, sums, squares = halves[:, :, 0], halves[:, :, 1:-1], halves[:, :, -1]
        now = geometry.cost(weight, sums, squares).sum(axis=0)
        now[empty] = np.inf
        if step == steps - 1 or np.all(now >= costs * (1 - 1e-9)):
            return sides, now
        costs = now
        normals, offsets = geometry.planes(geometry.means(weight, sums))
        moved = normals @ points >= offsets[:, None]
        sides = np.where(empty[:, None], sides, moved) if empty.any() else moved
    return sides, costs
