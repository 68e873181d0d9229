"""K-means: Lloyd's iteration from centroids that are seeded over a sketch of the rows.

The sketch (:mod:`hanse.models.cells`) stands in for the rows while centroids are chosen by k-means++ from ``seed``,
several times over, and the cheapest choice goes on to all rows.

Source:
    Lloyd (1982), "Least squares quantization in PCM"; Arthur & Vassilvitskii (2007), "k-means++"; Bahmani et al.
    (2012), "Scalable k-means++", whose oversampling the sketch replaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from hanse import expressions as e
from hanse.estimator import WEIGHT, Aggregate, CrossProducts, Family, Observation
from hanse.models.bisecting_model import BisectingModel
from hanse.models.cells import Cloud, Grid
from hanse.models.clusters import Cluster, by_size, few_clusters
from hanse.models.geometry import Geometry, geometry_of
from hanse.models.kmeans_model import KMeansModel, greatest_of
from hanse.models.moments import check_counts, covariance_of, far_off
from hanse.options import OneOf, Range, option
from hanse.statistics import FloatArray, Statistics

__all__ = ["KMeans", "KMeansState"]

Phase = Literal["moments", "spread", "cells", "step", "final", "done"]

_SEEDINGS = 8  # choices of first centroids that compete over the sketch
_SKETCH_STEPS = 20


@dataclass(frozen=True)
class KMeansState:
    """The state that goes down to the data holders each round.

    Args:
        features: the columns of the training relation, in order.
        phase: what is observed next.
        origin: (d,) the overall centre, in feature units; sums are taken about it.
        grid: of the sketch.
        centroids: (k, d) about the origin.
        weight: (k,) rows' weights, when they are known.
        count: (k,) rows.
        inertia: (k,) of each cluster about its centroid.
        steps: of Lloyd's iteration over all rows.
    """

    features: tuple[str, ...]
    phase: Phase
    origin: FloatArray
    grid: Grid | None = None
    centroids: FloatArray | None = None
    weight: FloatArray | None = None
    count: FloatArray | None = None
    inertia: FloatArray | None = None
    steps: int = 0


@dataclass(frozen=True)
class KMeans:
    """K-means, trained in the database.

    >>> KMeans(num_clusters=3).start(["a", "b"]).phase
    'moments'
    """

    model_type: ClassVar[str] = "kmeans"
    family: ClassVar[Family] = "clustering"

    max_iter: int = option(20, Range(int, 1), "steps of Lloyd's iteration over all rows, at the most")
    tol: float = option(1e-4, Range(float, 0), "stop when no centroid moves further than this")
    num_clusters: int = option(2, Range(int, 2), "clusters wanted; there may be fewer")
    distance_measure: str = option("euclidean", OneOf("euclidean", "cosine"), "how rows and centroids are compared")
    kmeans_init_method: str = option("k-means||", OneOf("k-means||", "random"), "how first centroids are chosen")
    init_steps: int = option(2, Range(int, 1), "k-means||: every step adds seedings that compete")
    seed: int = option(0, Range(int), "of the choice of first centroids")
    prediction_col: str = option("prediction", None, "name of the predicted column")
    weight_col: str | None = option(None, None, "column of row weights")

    @cached_property
    def geometry(self) -> Geometry:
        """How costs are measured."""
        return geometry_of(self.distance_measure)

    def start(self, features: Sequence[str], about: FloatArray | None = None) -> KMeansState:
        """Nothing is known yet; with ``about`` the mean need not be found before the spread about it."""
        zero = np.zeros(len(features))
        if about is None:
            return KMeansState(tuple(features), "moments", zero)
        return KMeansState(tuple(features), "spread", about if self.geometry.name == "euclidean" else zero)

    def start_at(self, model: BisectingModel) -> KMeansState:
        """A state that begins at another model's centroids instead of a sketch's."""
        centroids = np.stack([c.centroid for c in model.clusters])
        origin = np.zeros(centroids.shape[1])
        if self.geometry.name == "euclidean":
            origin = np.average(centroids, axis=0, weights=[c.weight for c in model.clusters])
        return KMeansState(model.features, "step", origin, centroids=centroids - origin)

    def done(self, state: KMeansState) -> bool:
        """Whether the centroids are final."""
        return state.phase == "done"

    def progress(self, state: KMeansState) -> Mapping[str, float]:
        """Inertia and clusters so far."""
        if state.inertia is None or state.count is None:
            return {"inertia": 0.0, "clusters": 1}
        return {"inertia": float(state.inertia.sum()), "clusters": int((state.count > 0).sum())}

    def remarks(self, numbers: Mapping[str, float]) -> Iterator[str]:
        """Fewer clusters than wanted."""
        return few_clusters(self.num_clusters, numbers)

    def observe(self, state: KMeansState) -> Observation:
        """The sums that the next step needs.

        Returns:
            ``moments``: ``count`` (), ``weight`` (), ``sum`` (d,) about zero. ``spread``: ``weight``, ``sum`` and
            ``cross`` (d (d + 1) / 2,). ``cells``, ``step``, ``final``: for each cell or cluster ``count``, ``weight``,
            ``sum`` and ``square``. All but the first about ``origin``, in feature units and their squares.
        """
        layers, z = self.geometry.rows(state.features, state.origin)
        one = e.number(1.0)
        aggregates = {
            "count": Aggregate((one,), (), "count"),
            "weight": Aggregate((one,), (), "count") if self.weight_col is None else Aggregate((e.column(WEIGHT),)),
            "sum": Aggregate(tuple(self._weighted(e.again(c)) for c in z), (len(z),)),
        }
        if state.phase == "moments":
            return Observation(aggregates, layers)
        if state.phase == "spread":
            aggregates["cross"] = CrossProducts.of(z, None if self.weight_col is None else e.column(WEIGHT))
            return Observation(aggregates, layers)
        if state.phase == "final":
            del aggregates["sum"]
            aggregates["inertia"] = Aggregate((self._weighted(self._distance_sq(state)),))
        else:
            aggregates["square"] = Aggregate((self._weighted(e.total(e.square(c) for c in z)),))
        if state.phase == "cells":
            assert state.grid is not None  # laid by the phase before
            return Observation(aggregates, layers, state.grid.cell(z), state.grid.cells, whole=True)
        assert state.centroids is not None  # chosen by the phase before
        place = z if self.geometry.name == "euclidean" else [e.column(f) for f in state.features]
        nearness, label = _nearest(place, state.centroids, state.origin, self.geometry)
        return Observation(aggregates, (*layers, *nearness), label, len(state.centroids), whole=True)

    def _distance_sq(self, state: KMeansState) -> e.Expression:
        """A row's distance to its own centroid; from sums, the spread of tight clusters far apart would be lost."""
        assert state.centroids is not None  # chosen by the phase before
        rows = [e.column(f) for f in state.features]
        shift = state.origin if self.geometry.name == "euclidean" else 0.0
        to_own = [
            e.when(e.equal(e.column("cell"), e.integer(i)), self.geometry.distance_sq(rows, c + shift))
            for i, c in enumerate(state.centroids)
        ]
        return e.case(to_own, None)

    def _weighted(self, value: e.Expression) -> e.Expression:
        return value if self.weight_col is None else e.multiply(e.column(WEIGHT), value)

    def advance(self, state: KMeansState, total: Statistics) -> KMeansState:
        """The next state."""
        match state.phase:
            case "moments":
                return self._centre(state, total)
            case "spread":
                return self._lay(state, total)
            case "cells":
                cloud = Cloud.of(*(total[name] for name in ("count", "weight", "sum", "square")))
                return replace(state, phase="step", centroids=self._seeded(cloud))
            case _:
                return self._step(state, total)

    def _centre(self, state: KMeansState, total: Statistics) -> KMeansState:
        weight = self._checked_weight(total)
        euclidean = self.geometry.name == "euclidean"
        origin = total["sum"] / weight if euclidean else state.origin
        return replace(state, phase="spread", origin=origin, count=total["count"])

    def _checked_weight(self, total: Statistics) -> float:
        weight = float(total["weight"])
        check_counts(float(total["count"]), weight, self.num_clusters, self.weight_col)
        return weight

    def _lay(self, state: KMeansState, total: Statistics) -> KMeansState:
        weight = self._checked_weight(total)
        mean = total["sum"] / weight
        covariance = covariance_of(weight, total["sum"], total["cross"])
        if state.count is None and self.geometry.name == "euclidean" and far_off(mean, covariance):
            return replace(state, origin=state.origin + mean, count=total["count"])
        return replace(state, phase="cells", grid=Grid.around(mean, covariance, float(total["count"])))

    def _seeded(self, cloud: Cloud) -> FloatArray:
        """First centroids (k, d): the cheapest of several seedings after Lloyd's iteration over the sketch."""
        random = np.random.default_rng(self.seed % 2**64)  # a seed may be negative, as Spark's
        plus = self.kmeans_init_method == "k-means||"
        seedings = _SEEDINGS * self.init_steps if plus else 1
        best: tuple[float, FloatArray] | None = None
        for _ in range(seedings):
            seeds = _plus_plus(cloud, self.num_clusters, random) if plus else _random(cloud, self.num_clusters, random)
            cost, centroids = _lloyd(cloud, seeds, self.geometry)
            if best is None or cost < best[0] * (1 - 1e-9):
                best = cost, centroids
        assert best is not None  # there is at least one seeding
        return best[1]

    def _step(self, state: KMeansState, total: Statistics) -> KMeansState:
        """Move the centroids to their rows' means, or take stock of them; one that lost all its rows is dropped."""
        assert state.centroids is not None  # chosen by the phase before
        held = total["weight"] > 0
        weight, before = total["weight"][held], state.centroids[held]
        counted = replace(state, count=total["count"][held], weight=weight)
        if state.phase == "final":
            inertia = np.maximum(total["inertia"][held], 0.0)
            return replace(counted, phase="done", centroids=before, inertia=inertia)
        sums, squares = total["sum"][held], total["square"][held]
        means = self.geometry.means(weight, sums)
        moved = float(np.sqrt(((means - before) ** 2).sum(axis=1).max()))
        last = moved <= self.tol or state.steps + 1 >= self.max_iter
        return replace(
            counted,
            phase="final" if last else "step",
            centroids=means,
            inertia=self.geometry.cost(weight, sums, squares),
            steps=state.steps + 1,
        )

    def model(self, state: KMeansState) -> KMeansModel:
        """The finished model; clusters are numbered by size, the largest is 0."""
        assert state.centroids is not None  # the state is done
        assert state.weight is not None
        assert state.count is not None
        assert state.inertia is not None
        shift = state.origin if self.geometry.name == "euclidean" else 0.0
        clusters = [
            Cluster(centroid + shift, int(count), float(weight), float(inertia))
            for centroid, count, weight, inertia in zip(
                state.centroids, state.count, state.weight, state.inertia, strict=True
            )
        ]
        return KMeansModel(
            state.features,
            tuple(clusters[i] for i in by_size(clusters)),
            state.origin,
            self.distance_measure,
            self.prediction_col,
        )


def _plus_plus(cloud: Cloud, clusters: int, random: np.random.Generator) -> FloatArray:
    """Seeds (k, d) that are far apart: each is drawn in proportion to weight and squared distance."""
    points = cloud.points
    first = int(random.choice(len(cloud), p=cloud.weight / cloud.weight.sum()))
    seeds = [points[first]]
    nearest = ((points - seeds[0]) ** 2).sum(axis=1)
    while len(seeds) < clusters:
        chance = cloud.weight * nearest
        if chance.sum() <= 0:
            break
        seeds.append(points[int(random.choice(len(cloud), p=chance / chance.sum()))])
        nearest = np.minimum(nearest, ((points - seeds[-1]) ** 2).sum(axis=1))
    return np.array(seeds)


def _random(cloud: Cloud, clusters: int, random: np.random.Generator) -> FloatArray:
    """Seeds (k, d) drawn in proportion to weight, each cell at most once."""
    size = min(clusters, len(cloud))
    return cloud.points[random.choice(len(cloud), size=size, replace=False, p=cloud.weight / cloud.weight.sum())]


def _lloyd(cloud: Cloud, centroids: FloatArray, geometry: Geometry) -> tuple[float, FloatArray]:
    """Inertia and centroids after Lloyd's iteration over the sketch."""
    points = cloud.points
    if geometry.name == "cosine":
        centroids = geometry.means(np.ones(len(centroids)), centroids)
    cost = np.inf
    for _ in range(_SKETCH_STEPS):
        affinity = points @ centroids.T
        if geometry.name == "euclidean":
            affinity -= (centroids**2).sum(axis=1) / 2
        label = np.argmax(affinity, axis=1)
        table = np.column_stack([cloud.weight, cloud.sums, cloud.squares])
        binned = np.zeros((len(centroids), table.shape[1]))
        np.add.at(binned, label, table)
        binned = binned[binned[:, 0] > 0]
        weight, sums, squares = binned[:, 0], binned[:, 1:-1], binned[:, -1]
        centroids = geometry.means(weight, sums)
        before, cost = cost, float(geometry.cost(weight, sums, squares).sum())
        if before - cost <= 1e-9 * cost:
            break
    return cost, centroids


def _nearest(
    place: Sequence[e.Expression], centroids: FloatArray, origin: FloatArray, geometry: Geometry
) -> tuple[tuple[Mapping[str, e.Expression], ...], e.Expression]:
    """Layers of intermediate columns and the label of the nearest centroid (k, d), which are about the origin."""
    shift = origin if geometry.name == "euclidean" else np.zeros_like(origin)
    placed = centroids + shift
    near = {f"near{i}": geometry.affinity(place, c, origin) for i, c in enumerate(placed)}
    return (near,), greatest_of([e.column(name) for name in near], placed)
