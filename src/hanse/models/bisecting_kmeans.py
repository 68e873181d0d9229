"""Bisecting k-means: the cluster of largest inertia is split in two until there are enough.

Training goes in few, fat scans. ``moments`` finds the overall centre; ``spread`` the covariance of each cluster to
open; ``cells`` sketches it, whole trees of splits compete over the sketch and the cheapest is taken; ``step`` moves all
of its pairs at once by Lloyd's iteration over all rows until they settle; ``final`` takes the inertia about the
finished centroids, where the sums so far would lose digits of it. With ``split_starts = 1`` there is no sketch: a
split opens at the centre plus and minus one standard deviation along the first principal axis, which needs a cluster's
covariance and nothing else.

Source:
    Steinbach, Karypis & Kumar (2000), "A comparison of document clustering techniques".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from hanse import expressions as e
from hanse.estimator import WEIGHT, Aggregate, CrossProducts, Family, Observation
from hanse.models.bisecting_model import BisectingModel, splits_of
from hanse.models.bisecting_state import BisectingState
from hanse.models.cells import Cloud, Grid, principal_axes
from hanse.models.clusters import Cluster, by_size, few_clusters
from hanse.models.geometry import Geometry, geometry_of
from hanse.models.moments import check_counts, covariance_of, far_off
from hanse.models.starts import Branch, Divisible, grow
from hanse.models.tree import (
    Node,
    Tree,
    chosen_splits,
    descend,
    drawn_back,
    filled,
    graft,
    joined,
    moved,
    whole,
)
from hanse.options import OneOf, Range, option
from hanse.statistics import FloatArray, Statistics

__all__ = ["BisectingKMeans"]

_AUTO_STARTS = 8  # outcomes of the first split that are carried on
_SETTLED_SQ = 2e-4  # a pair is settled when its next step would gain less than this share of the inertia
_TOLD = 1e-9  # a variance of at least this share of the mean square keeps six digits of it
_EXACT = 1e-5  # inertia of at least this share of the sum of squares keeps ten digits of it
_NOTHING = 1e-14  # a cluster whose variance is this share of its squared size is one point, to rounding


@dataclass(frozen=True)
class BisectingKMeans:
    """Bisecting k-means, trained in the database.

    >>> BisectingKMeans(num_clusters=3).start(["a", "b"]).phase
    'moments'
    """

    model_type: ClassVar[str] = "bisecting_kmeans"
    family: ClassVar[Family] = "clustering"

    max_iter: int = option(20, Range(int, 1), "steps of Lloyd's iteration for each split, at the most")
    num_clusters: int = option(4, Range(int, 2), "clusters wanted; there may be fewer")
    distance_measure: str = option("euclidean", OneOf("euclidean", "cosine"), "how rows and centroids are compared")
    min_divisible_cluster_size: float = option(
        1.0,
        Range(float, 0, open_low=True),
        "rows (>= 1) or share of all rows (< 1) that a cluster needs to be divided",
    )
    seed: int = option(0, Range(int), "kept for the record: training draws no random numbers")
    prediction_col: str = option("prediction", None, "name of the predicted column")
    weight_col: str | None = option(None, None, "column of row weights")
    split_order: str = option(
        "inertia",
        OneOf("inertia", "size"),
        "split the cluster of largest inertia next, or level by level by size",
    )
    split_starts: int | str = option(
        "auto",
        Range(int, 1, or_text=("auto",)),
        "outcomes of the first split that compete; 1: one start, no sketch",
    )

    @cached_property
    def geometry(self) -> Geometry:
        """How costs are measured."""
        return geometry_of(self.distance_measure)

    @property
    def sketches(self) -> bool:
        """Whether splits open over a sketch of the rows."""
        return self.split_starts != 1

    def start(self, features: Sequence[str], about: FloatArray | None = None) -> BisectingState:
        """Nothing is known yet; with ``about`` the mean need not be found before the spread about it."""
        zero = np.zeros(len(features))
        if about is None:
            return BisectingState(tuple(features), "moments", zero)
        origin = about if self.geometry.name == "euclidean" else zero
        return BisectingState(tuple(features), "spread", origin, opening=(0,))

    def done(self, state: BisectingState) -> bool:
        """Whether all clusters are final."""
        return state.phase == "done"

    def progress(self, state: BisectingState) -> Mapping[str, float]:
        """Inertia and clusters so far."""
        clusters = len(state.leaves)
        if state.inertia is not None:
            return {"inertia": float(state.inertia.sum()), "clusters": clusters}
        return {"inertia": self._known_cost(state.tree, 0), "clusters": clusters}

    def remarks(self, numbers: Mapping[str, float]) -> Iterator[str]:
        """Fewer clusters than wanted."""
        return few_clusters(self.num_clusters, numbers)

    def _known_cost(self, tree: Tree, node: int) -> float:
        """Inertia below a node, as far as sides have been counted."""
        here = tree[node]
        if here.sides is None or any(tree[side].count == 0 for side in here.sides):
            return self._cost(here)
        return sum(self._known_cost(tree, side) for side in here.sides)

    # -- what data holders compute ------------------------------------------------------------

    def observe(self, state: BisectingState) -> Observation:
        """The sums that the next step needs.

        Returns:
            ``moments``: ``count`` (), ``weight`` () and ``sum`` (d,) about zero. ``spread``: for each leaf to open also
            ``square`` () and ``cross`` (d (d + 1) / 2,), the upper triangle of the sum of outer products. ``cells`` and
            ``step``: for each cell or side ``count``, ``weight``, ``sum``, ``square``; with sketches, ``square`` of a
            ``step`` is (d,), by feature. ``final``: for each leaf ``inertia`` (). All but the first about ``origin``,
            in feature units and their squares.
        """
        rows = [e.column(f) for f in state.features]
        if state.phase == "final":
            return self._observe_final(state, rows)
        layers, z = self.geometry.rows(state.features, state.origin)
        aggregates = self._sums(z)
        if state.phase == "moments":
            del aggregates["square"]
            return Observation(aggregates, layers)
        if state.phase == "spread":
            aggregates["cross"] = CrossProducts.of(z, None if self.weight_col is None else e.column(WEIGHT))
        if state.phase == "step" and self.sketches:
            squares = tuple(self._weighted(e.square(e.again(c))) for c in z)
            aggregates["square"] = Aggregate(squares, (len(z),))
        targets = state.moving if state.phase == "step" else state.opening
        if state.phase == "cells":
            offset = 0
            at_leaf: dict[int, e.Expression] = {}
            for leaf, grid in zip(targets, state.grids, strict=True):
                at_leaf[leaf] = e.add(grid.cell(z), e.number(float(offset)))
                offset += grid.cells
            cells = offset
        else:
            at_leaf = {leaf: e.integer(i) for i, leaf in enumerate(targets)}
            cells = len(targets)
        place = z if self.geometry.name == "euclidean" else rows
        cell = descend(state.tree, at_leaf, place, self.geometry)
        return Observation(aggregates, layers, cell, cells, whole=len(targets) == len(state.leaves))

    def _observe_final(self, state: BisectingState, rows: list[e.Expression]) -> Observation:
        leaves = state.leaves
        at_leaf = {leaf: e.integer(i) for i, leaf in enumerate(leaves)}
        cell = descend(state.tree, at_leaf, self.geometry.place(rows, state.origin), self.geometry)
        distances = [
            e.when(
                e.equal(e.column("cell"), e.integer(i)),
                self.geometry.distance_sq(rows, self._centroid(state.tree[n], state.origin)),
            )
            for i, n in enumerate(leaves)
        ]
        inertia = Aggregate((self._weighted(e.case(distances, None)),))
        return Observation({"inertia": inertia}, (), cell, len(leaves))

    def _sums(self, z: Sequence[e.Expression]) -> dict[str, Aggregate]:
        one = e.number(1.0)
        return {
            "count": Aggregate((one,), (), "count"),
            "weight": Aggregate((one,), (), "count") if self.weight_col is None else Aggregate((e.column(WEIGHT),)),
            "sum": Aggregate(tuple(self._weighted(e.again(c)) for c in z), (len(z),)),
            "square": Aggregate((self._weighted(e.total(e.square(c) for c in z)),)),
        }

    def _weighted(self, value: e.Expression) -> e.Expression:
        return value if self.weight_col is None else e.multiply(e.column(WEIGHT), value)

    # -- what the trainer does with the sum ---------------------------------------------------

    def advance(self, state: BisectingState, total: Statistics) -> BisectingState:
        """The next state."""
        match state.phase:
            case "moments":
                return self._centre(state, total)
            case "spread":
                return self._spread(state, total)
            case "cells":
                return self._grow(state, total)
            case "step":
                return self._step(state, total)
            case _:
                return replace(state, phase="done", inertia=np.maximum(total["inertia"], 0.0))

    def _centre(self, state: BisectingState, total: Statistics) -> BisectingState:
        count, weight = float(total["count"]), float(total["weight"])
        check_counts(count, weight, self.num_clusters, self.weight_col)
        euclidean = self.geometry.name == "euclidean"
        origin = state.origin + total["sum"] / weight if euclidean else state.origin
        sums = np.zeros(len(origin)) if euclidean else total["sum"]
        root = Node(count, weight, sums)
        return replace(state, phase="spread", origin=origin, tree=(root,), opening=(0,))

    def _spread(self, state: BisectingState, total: Statistics) -> BisectingState:
        """Find each leaf's principal axes; open it there, or lay a grid for the sketch."""
        tree = list(state.tree)
        opening, grids = [], []
        for i, leaf in enumerate(state.opening):
            before, here = tree[leaf], filled(tree[leaf], total, i)
            tree[leaf] = here
            if before.count == 0:
                check_counts(here.count, here.weight, self.num_clusters, self.weight_col)
            mean = total["sum"][i] / here.weight
            covariance = covariance_of(here.weight, total["sum"][i], total["cross"][i])
            if before.count == 0 and self.geometry.name == "euclidean" and far_off(mean, covariance):
                return replace(state, tree=tuple(tree), origin=state.origin + mean)
            axes, spread = principal_axes(covariance)
            if not len(spread) or not self._divisible(here, tree[0]):
                tree[leaf] = here.leaf(tried=True)
            elif self.sketches:
                opening.append(leaf)
                grids.append(Grid.around(mean, covariance, here.count))
            else:
                ends = mean + np.outer([1.0, -1.0], spread[0] * axes[0])
                pair = ends if self.geometry.name == "euclidean" else self.geometry.means(np.ones(2), ends)
                graft(tree, leaf, Branch(pair, (Branch(), Branch())))
        if opening:
            return replace(state, phase="cells", tree=tuple(tree), opening=tuple(opening), grids=tuple(grids))
        return self._next(replace(state, tree=tuple(tree), opening=()))

    def _grow(self, state: BisectingState, total: Statistics) -> BisectingState:
        """Let trees of splits compete over each leaf's sketch."""
        tree = list(state.tree)
        offset = 0
        room = self.num_clusters - len(state.leaves) + 1
        beam = _AUTO_STARTS if self.split_starts == "auto" else int(self.split_starts)
        for leaf, grid in zip(state.opening, state.grids, strict=True):
            part = slice(offset, offset + grid.cells)
            offset += grid.cells
            cloud = Cloud.of(*(total[name][part] for name in ("count", "weight", "sum", "square")))
            spans = self.split_order == "inertia" and len(state.features) <= len(grid.spread)
            branch = grow(cloud, room if spans else 2, beam, self.geometry, self._rule(tree[0]))
            if branch.pair is None:
                tree[leaf] = tree[leaf].leaf(tried=True)
            else:
                graft(tree, leaf, branch)
        return self._next(replace(state, tree=tuple(tree), opening=(), grids=()))

    def _step(self, state: BisectingState, total: Statistics) -> BisectingState:
        """One step of Lloyd's iteration for every pair that has not settled."""
        tree = list(state.tree)
        for i, leaf in enumerate(state.moving):
            tree[leaf] = filled(tree[leaf], total, i)
        self._settle(tree, 0, True)
        return self._next(replace(state, tree=tuple(tree)))

    def _settle(self, tree: list[Node], node: int, firm: bool) -> None:
        """Sum the sides into their parent, move its pair, or call it settled; from the top down, then up.

        Args:
            tree: changed in place.
            node: where to begin.
            firm: whether every split above has settled.
        """
        here = tree[node]
        if here.sides is None or here.pair is None:
            return
        if here.settled:
            for side in here.sides:
                self._settle(tree, side, firm)
            return
        left, right = (whole(tree, side) for side in here.sides)
        if left.count == 0 or right.count == 0 or left.weight <= 0 or right.weight <= 0:
            both = joined(here, left, right)
            tree[node] = drawn_back(both) if here.reach > 1 else both.leaf(tried=firm)
            return
        weights = np.array([left.weight, right.weight])
        means = self.geometry.means(weights, np.stack([left.sums, right.sums]))  # type: ignore[list-item]  # filled
        pull = float(((means - here.pair) ** 2).sum(axis=1).max())
        inertia = self._cost(left) + self._cost(right)
        variance = inertia / (left.weight + right.weight)
        at_rest = pull <= _SETTLED_SQ * variance
        settled = firm and (at_rest or here.steps + 1 >= self.max_iter)
        there = here if settled else moved(here, means, variance, reaching=self.sketches)
        if there.pair is not None and self.geometry.name == "cosine":
            there = replace(there, pair=self.geometry.means(np.ones(2), there.pair))
        tree[node] = replace(joined(there, left, right), settled=settled, steps=here.steps + 1)
        for side in here.sides:
            self._settle(tree, side, settled)

    def _next(self, state: BisectingState) -> BisectingState:
        """Move pairs while any has not settled; else open what must be divided; else finish."""
        if state.moving:
            return replace(state, phase="step")
        divided, unopened = chosen_splits(
            state.tree,
            self.num_clusters,
            self._cost,
            self.split_order,
            lambda n: self._divisible(n, state.tree[0]),
        )
        if unopened:
            return replace(state, phase="spread", opening=tuple(sorted(unopened)))
        keep = set(divided)
        tree = tuple(n if i in keep or n.sides is None else n.leaf(tried=True) for i, n in enumerate(state.tree))
        finished = replace(state, phase="final", tree=tree)
        costs = np.array([self._cost(tree[n]) for n in finished.leaves])
        squares = np.array([tree[n].squares or 0.0 for n in finished.leaves])
        if np.all(costs >= _EXACT * squares):
            return replace(finished, phase="done", inertia=costs)
        return finished

    def _cost(self, node: Node) -> float:
        if node.sums is None or node.squares is None or node.weight <= 0:
            return 0.0
        return float(self.geometry.cost(np.array(node.weight), node.sums, np.array(node.squares)))

    def _divisible(self, node: Node, root: Node) -> bool:
        return node.squares is None or self._rule(root)(node.count, self._cost(node))

    def _rule(self, root: Node) -> Divisible:
        """Whether a cluster of so many rows and such inertia may be divided."""
        size = self.min_divisible_cluster_size
        rows = size if size >= 1 else np.ceil(size * root.count)
        scale = _NOTHING * max(self._cost(root), 0.0) / root.weight
        return lambda count, cost: count >= max(rows, 2) and cost > scale * count

    def _centroid(self, node: Node, origin: FloatArray) -> FloatArray:
        assert node.sums is not None  # every leaf of a settled tree was counted
        means = self.geometry.means(np.array(node.weight), node.sums)
        return means + origin if self.geometry.name == "euclidean" else means

    # -- the result ---------------------------------------------------------------------------

    def _spread_of(self, node: Node) -> FloatArray | None:
        """(d,) a leaf's deviations; None where its sums do not tell them, or not to enough digits."""
        if node.by_feature is None or node.sums is None or self.geometry.name != "euclidean":
            return None
        square = node.by_feature / node.weight
        variance = square - (node.sums / node.weight) ** 2
        exact = np.all((variance >= _TOLD * square) | (square == 0))
        return np.sqrt(np.maximum(variance, 0.0)) if exact else None

    def model(self, state: BisectingState) -> BisectingModel:
        """The finished model; clusters are numbered by size, the largest is 0."""
        assert state.inertia is not None  # the state is done
        leaves = state.leaves
        clusters = [
            Cluster(
                self._centroid(state.tree[n], state.origin),
                int(state.tree[n].count),
                state.tree[n].weight,
                float(i),
                self._spread_of(state.tree[n]),
            )
            for n, i in zip(leaves, state.inertia, strict=True)
        ]
        order = by_size(clusters)
        label = {leaves[position]: number for number, position in enumerate(order)}
        return BisectingModel(
            state.features,
            tuple(clusters[i] for i in order),
            splits_of(state.tree, 0, label, self.geometry),
            state.origin,
            self.distance_measure,
            self.prediction_col,
        )
