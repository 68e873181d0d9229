"""How anomalous a row is: its distance from the ordinary clusters.

Clusters that hold a small share of the training's weight are anomalous as a whole, so a row is measured against the
*ordinary* ones only, and a small far cluster scores high in all of its rows. The score of a row is the root mean square
of its deviations from the nearest ordinary centroid, each feature in units of its spread within the ordinary clusters:
1 is usual, whatever the features' units and number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np

from hanse import expressions as e
from hanse.anomalies.profile import Clustering, ClusterProfile, coordinates, profile_of
from hanse.errors import DataError, UnsupportedError
from hanse.estimator import Model
from hanse.models.clusters import is_clustering
from hanse.models.geometry import geometry_of
from hanse.statistics import FloatArray

__all__ = ["ORDINARY_SHARE", "SCORES", "ClusterScoring", "OwnScoring", "Scored", "Scoring", "scoring_of"]

ORDINARY_SHARE: Final = 0.05
SCORES: Final = ("distance", "normalized_distance", "anomaly_score")


@dataclass(frozen=True)
class Scored:
    """A model's scores as expressions.

    Args:
        let: layers of intermediate columns; each layer sees the features and the layers before it.
        outputs: the label under the model's own name for it, then :data:`SCORES`.
        contributions: by feature, how far the row is off, signed, in units of the ordinary spread.
    """

    let: tuple[Mapping[str, e.Expression], ...]
    outputs: Mapping[str, e.Expression]
    contributions: Mapping[str, e.Expression]


class Scoring(Protocol):
    """How a model scores rows."""

    @property
    def ordinary(self) -> tuple[int, ...]:
        """The labels of the ordinary clusters; none for a model that is no clustering."""
        ...

    def over(self, features: Sequence[e.Expression]) -> Scored:
        """The scores over features."""
        ...


@dataclass(frozen=True)
class ClusterScoring:
    """Scores of a clustering.

    Args:
        model: the clustering.
        profile: of its training rows.
        ordinary_share: of the weight, which a cluster must hold to be ordinary.

    Raises:
        DataError: no cluster holds as much.
    """

    model: Clustering
    profile: ClusterProfile
    ordinary_share: float = ORDINARY_SHARE

    def __post_init__(self) -> None:
        if not self.ordinary:
            largest = float(self.profile.share.max(initial=0.0))
            raise DataError(
                f"no ordinary cluster: the largest holds {largest:.3g} of the weight, less than "
                f"ordinary_share = {self.ordinary_share:g}: give ordinary_share => {largest:.2g} or less"
            )

    @cached_property
    def ordinary(self) -> tuple[int, ...]:
        """The labels of the ordinary clusters."""
        return tuple(int(i) for i in np.flatnonzero(self.profile.share >= self.ordinary_share * (1 - 1e-9)))

    @cached_property
    def centroids(self) -> FloatArray:
        """(k, d) of all clusters."""
        return np.array([c.centroid for c in self.model.clusters])

    @cached_property
    def unit(self) -> FloatArray:
        """(d,) one standard deviation of each feature."""
        return self.profile.pooled(self.ordinary, self.centroids)

    def score(self, coordinates: Sequence[e.Expression]) -> e.Expression:
        """``anomaly_score`` in one expression, without layers, over the coordinates that centroids are in."""
        scale = 1.0 / (self.unit**2 * len(self.unit))
        squares = [
            e.total(
                e.multiply(e.square(e.subtract(e.again(a), e.number(c))), e.number(s))
                for a, c, s in zip(coordinates, self.centroids[k], scale, strict=True)
            )
            for k in self.ordinary
        ]
        return e.root(e.least(squares))

    def over(self, features: Sequence[e.Expression]) -> Scored:
        """The scores over features."""
        geometry = geometry_of(self.model.distance_measure)
        layers, at = coordinates(features, geometry.name)
        centres = [self.centroids[k] for k in self.ordinary]
        costs = {f"__hanse_cost{n}": geometry.distance_sq(features, c) for n, c in enumerate(centres)}
        scale = 1.0 / (self.unit * np.sqrt(len(self.unit)))
        scaled = {f"__hanse_at{j}": e.multiply(a, e.number(s)) for j, (a, s) in enumerate(zip(at, scale, strict=True))}
        fars = {f"__hanse_far{n}": _square_to(list(scaled), c * scale) for n, c in enumerate(centres)}
        least = _least_layers({"__hanse_cost": list(costs), "__hanse_far": list(fars)})
        nearest = {
            "__hanse_near": _which(costs, "__hanse_cost"),
            "__hanse_next": _which(fars, "__hanse_far"),
        }
        cost = e.column("__hanse_cost")
        radii = self.profile.radii(self.ordinary)
        radius = _of(e.column("__hanse_near"), radii.tolist())
        rooted = e.root(cost)
        outputs = {
            **self.model.predict(features),
            "distance": rooted if geometry.name == "euclidean" else e.again(cost),
            "normalized_distance": e.divide(e.again(rooted), radius),
            "anomaly_score": e.root(e.column("__hanse_far")),
        }
        contributions = {
            name: e.divide(
                e.subtract(e.again(at[j]), _of(e.column("__hanse_next"), [float(c[j]) for c in centres])),
                e.number(self.unit[j]),
            )
            for j, name in enumerate(self.model.features)
        }
        return Scored((*layers, {**costs, **scaled}, fars, *least, nearest), outputs, contributions)


@dataclass(frozen=True)
class OwnScoring:
    """Scores that a model gives itself: ``scores(features)``, the same in layers, and ``contributions(features)``."""

    model: Any
    ordinary: tuple[int, ...] = ()

    def score(self, features: Sequence[e.Expression]) -> e.Expression:
        """``anomaly_score`` in one expression, without layers."""
        found: e.Expression = self.model.scores(features)["anomaly_score"]
        return found

    def over(self, features: Sequence[e.Expression]) -> Scored:
        """The scores over features."""
        layers, outputs = self.model.layered_scores(features)
        return Scored(layers, outputs, self.model.contributions(features))


def scoring_of(
    model: Model, profile: ClusterProfile | None, *, ordinary_share: float = ORDINARY_SHARE, name: str = "this model"
) -> Scoring:
    """How a model scores rows.

    Args:
        model: a clustering, or a model with ``scores`` and ``contributions`` of its own.
        profile: of a clustering's training rows, where the artifact tells it.
        ordinary_share: of a clustering.
        name: of the model, for errors.

    Raises:
        DataError: nothing is known of the clusters' shares, or none is ordinary.
        UnsupportedError: the model gives no scores.
    """
    if hasattr(model, "scores"):
        return OwnScoring(model)
    if not is_clustering(model):
        cure = "train a clustering on the same rows, as MODEL_TYPE = 'bisecting_kmeans'"
        raise UnsupportedError(f"model {name} of type {model.model_type} gives no anomaly scores", cure)
    if profile is None:
        if not sum(c.weight for c in model.clusters) > 0:
            raise DataError(
                f"model {name} came without what scores need (its clusters' shares and spread, which Spark MLlib does "
                "not save): train it anew with this Hanse; where a coordinator sent it, have it installed again"
            )
        profile = profile_of(model.clusters, None)
    return ClusterScoring(model, profile, ordinary_share)  # type: ignore[arg-type]  # it has clusters


def _square_to(columns: Sequence[str], centre: FloatArray) -> e.Expression:
    """``sum((x - c)^2)``."""
    return e.total(e.square(e.subtract(e.column(x), e.number(c))) for x, c in zip(columns, centre, strict=True))


def _least_layers(items: Mapping[str, Sequence[str]]) -> list[Mapping[str, e.Expression]]:
    """Layers that end in the least of each list of columns, under its name, by knock-out.

    A comparison of two columns is cheaper than LEAST of many on every engine.
    """
    layers: list[Mapping[str, e.Expression]] = []
    left = {name: list(columns) for name, columns in items.items()}
    while any(len(columns) > 1 for columns in left.values()):
        layer: dict[str, e.Expression] = {}
        for name, columns in left.items():
            winners = []
            for n, (a, b) in enumerate(zip(columns[::2], columns[1::2], strict=False)):
                winners.append(f"{name}_{len(layers)}_{n}")
                lesser = e.when(e.at_least(e.column(b), e.column(a)), e.column(a))
                layer[winners[-1]] = e.case([lesser], e.column(b))
            left[name] = [*winners, *(columns[-1:] if len(columns) % 2 else [])]
        layers.append(layer)
    layers.append({name: e.column(columns[0]) for name, columns in left.items()})
    return layers


def _which(items: Mapping[str, e.Expression], least: str) -> e.Expression:
    """The number of the first of the columns that equals the least of them."""
    names = list(items)
    branches = [e.when(e.equal(e.column(n), e.column(least)), e.integer(i)) for i, n in enumerate(names[:-1])]
    return e.case(branches, e.integer(len(names) - 1))


def _of(number: e.Expression, values: Sequence[float]) -> e.Expression:
    """The value with that number."""
    if len(set(values)) == 1:
        return e.number(values[0])
    branches = [e.when(e.equal(e.again(number), e.integer(i)), e.number(v)) for i, v in enumerate(values[:-1])]
    return e.case(branches, e.number(values[-1]))
