"""How good a clustering is: silhouette, Davies-Bouldin index and inertia, from sums that add up; never O(n^2).

Two observations: per-cluster sums, then each row's silhouette and distance in closed form from them.

Source:
    Rousseeuw (1987), "Silhouettes"; the closed form for squared Euclidean distance is that of Spark's
    ClusteringEvaluator; Davies & Bouldin (1979), "A cluster separation measure".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hanse import expressions as e
from hanse.estimator import Aggregate, Observation
from hanse.statistics import FloatArray, Statistics

__all__ = [
    "ClusteringMetrics",
    "ClusteringSums",
    "first_observation",
    "metrics_of",
    "second_observation",
    "sums_of",
]

_FAR = 1e300  # stands for "no other cluster" among distances


@dataclass(frozen=True)
class ClusteringSums:
    """Per-cluster sums of the rows that are evaluated, each about its own cluster's centroid.

    About one common origin, the sums of a small tight cluster far from it would keep no digit of its spread.

    Args:
        origins: (k, d) what a cluster's sums are taken about, in feature units.
        count: (k,) rows.
        sums: (k, d) in feature units.
        squares: (k,) sums of squared lengths.
    """

    origins: FloatArray
    count: FloatArray
    sums: FloatArray
    squares: FloatArray

    @property
    def shifts(self) -> FloatArray:
        """(k, d) from each origin to the mean of the cluster's rows; 0 for a cluster without rows."""
        return self.sums / np.maximum(self.count, 1.0)[:, None]

    @property
    def spreads(self) -> FloatArray:
        """(k,) mean squared distance of a cluster's rows to their mean."""
        spreads: FloatArray = self.squares / np.maximum(self.count, 1.0) - (self.shifts**2).sum(axis=1)
        return np.maximum(spreads, 0.0)


@dataclass(frozen=True)
class ClusteringMetrics:
    """What ``model_evaluate`` returns for a clustering, in the order of its columns.

    Args:
        silhouette: mean over rows, squared Euclidean; None where fewer than two clusters hold rows.
        davies_bouldin: mean over clusters; smaller is better; None likewise.
        inertia: sum over rows of the squared distance to the mean of its cluster's rows.
        clusters: how many hold rows.
        smallest_cluster: rows of the smallest.
        rows: evaluated.
    """

    silhouette: float | None
    davies_bouldin: float | None
    inertia: float
    clusters: int
    smallest_cluster: int
    rows: int


def first_observation(features: Sequence[str], label: str, origins: FloatArray) -> Observation:
    """Per-cluster ``count`` (), ``sum`` (d,) and ``square`` (), about the cluster's own row of ``origins`` (k, d)."""
    layer: dict[str, e.Expression] = {}
    for j, feature in enumerate(features):
        origin = [
            e.when(e.equal(e.column(label), e.integer(i)), e.number(o)) for i, o in enumerate(origins[:-1, j].tolist())
        ]
        layer[f"z{j}"] = e.subtract(e.column(feature), e.case(origin, e.number(origins[-1, j])))
    z = [e.column(name) for name in layer]
    return Observation(
        {
            "count": Aggregate((e.number(1.0),), (), "count"),
            "sum": Aggregate(tuple(z), (len(z),)),
            "square": Aggregate((e.total(e.square(c) for c in z),)),
        },
        (layer,),
        e.column(label),
        len(origins),
    )


def sums_of(origins: FloatArray, total: Statistics) -> ClusteringSums:
    """The first observation's total, under its names."""
    return ClusteringSums(origins, total["count"], total["sum"], total["square"])


def second_observation(features: Sequence[str], label: str, sums: ClusteringSums) -> Observation:
    """Over all rows: ``silhouette`` () and ``inertia`` () summed, and ``distance`` (k,) to the own mean by cluster.

    A row's mean squared distance to the rows of cluster c is ``|x - m|^2 + v``, with their mean m and their mean
    squared distance v to it; within the row's own cluster the row itself does not count.
    """
    held = [i for i, n in enumerate(sums.count) if n > 0]
    near = {f"near{i}": _distance_sq(features, sums.origins[i], sums.shifts[i]) for i in held}
    is_own = {i: e.equal(e.column(label), e.integer(i)) for i in held}
    to = {i: e.add(e.column(f"near{i}"), e.number(v)) for i, v in enumerate(sums.spreads.tolist()) if i in is_own}
    own = [
        e.when(e.again(is_own[i]), e.multiply(e.again(to[i]), e.number(sums.count[i] / max(sums.count[i] - 1, 1.0))))
        for i in held
    ]
    others = [e.case([e.when(e.again(is_own[i]), e.number(_FAR))], e.again(to[i])) for i in held]
    mine = [e.when(e.again(is_own[i]), e.column(f"near{i}")) for i in held]
    ab = {"own": e.case(own, None), "other": e.least(others), "mine": e.case(mine, None)}
    a, b = e.column("own"), e.column("other")
    larger = {"larger": e.greatest([a, b])}
    alone = [e.when(e.again(is_own[i]), e.number(0.0)) for i in held if sums.count[i] == 1]
    same = e.when(e.equal(e.column("larger"), e.number(0.0)), e.number(0.0))
    silhouette = e.case([*alone, same], e.divide(e.subtract(b, a), e.column("larger")))
    distance = [e.case([e.when(e.again(is_own[i]), e.root(e.column("mine")))], e.number(0.0)) for i in held]
    return Observation(
        {
            "silhouette": Aggregate((silhouette,)),
            "inertia": Aggregate((e.column("mine"),)),
            "distance": Aggregate(tuple(distance), (len(held),)),
        },
        (near, ab, larger),
    )


def _distance_sq(features: Sequence[str], origin: FloatArray, shift: FloatArray) -> e.Expression:
    """A row's squared distance to ``origin + shift`` (d,); apart, they keep digits that their sum would not."""
    return e.total(
        e.square(e.subtract(e.subtract(e.column(f), e.number(o)), e.number(s)))
        for f, o, s in zip(features, origin, shift, strict=True)
    )


def metrics_of(sums: ClusteringSums, total: Statistics) -> ClusteringMetrics:
    """The measures, from both observations."""
    held = sums.count > 0
    count = sums.count[held]
    rows = int(count.sum())
    silhouette = davies_bouldin = None
    if len(count) > 1:
        silhouette = float(total["silhouette"]) / rows
        davies_bouldin = _davies_bouldin(sums.origins[held], sums.shifts[held], total["distance"] / count)
    smallest = int(count.min()) if len(count) else 0
    return ClusteringMetrics(silhouette, davies_bouldin, float(total["inertia"]), len(count), smallest, rows)


def _davies_bouldin(origins: FloatArray, shifts: FloatArray, scatter: FloatArray) -> float | None:
    """Mean over clusters of the worst ratio of scatter to separation; None where two means coincide."""
    between = (origins[:, None] - origins[None]) + (shifts[:, None] - shifts[None])
    apart = np.sqrt((between**2).sum(axis=2))
    np.fill_diagonal(apart, np.inf)
    if apart.min() <= 0:
        return None
    return float(((scatter[:, None] + scatter[None]) / apart).max(axis=1).mean())
