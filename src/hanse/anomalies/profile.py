"""What scoring knows of a clustering beside its centroids: each cluster's share, radius and spread by feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Any, Protocol

import numpy as np

from hanse import expressions as e
from hanse.errors import ArtifactError
from hanse.estimator import WEIGHT, Aggregate, Observation
from hanse.models.clusters import Cluster
from hanse.statistics import FloatArray, Statistics
from hanse.types import JsonValue

__all__ = ["ClusterProfile", "Clustering", "coordinates", "profile_of", "spread_observation", "spreads_of"]

_EXACT = 1e-9  # a variance of at least this share of the sum of squares keeps six digits of it
_FLAT = 1e-9  # of a larger spread: a smaller one is none, to rounding


class Clustering(Protocol):
    """A model whose rows fall into clusters."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in order."""
        ...

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        """By label."""
        ...

    @property
    def distance_measure(self) -> str:
        """``euclidean`` or ``cosine``."""
        ...

    def predict(self, features: Sequence[e.Expression]) -> Mapping[str, e.Expression]:
        """The label."""
        ...


@dataclass(frozen=True)
class ClusterProfile:
    """The numbers about a clustering's training rows that its scores need.

    Args:
        share: (k,) of the training's weight.
        radius: (k,) root of the mean squared distance of a cluster's rows to its centroid.
        spread: (k, d) standard deviation of each feature about the cluster's centroid; None where nobody has told.
    """

    share: FloatArray
    radius: FloatArray
    spread: FloatArray | None = None

    def pooled(self, ordinary: Sequence[int], centroids: FloatArray) -> FloatArray:
        """(d,) what one standard deviation is: the spread of each feature within the ordinary clusters together.

        A feature without spread there is measured by its spread over all rows, one without any in its own unit.
        """
        d = centroids.shape[1]
        spread = np.repeat(self.radius[:, None] / np.sqrt(d), d, axis=1) if self.spread is None else self.spread
        share = self.share if self.share.sum() > 0 else np.ones(len(self.share))
        within = np.average(spread[list(ordinary)] ** 2, axis=0, weights=share[list(ordinary)])
        centre = np.average(centroids, axis=0, weights=share)
        overall = np.average(spread**2 + (centroids - centre) ** 2, axis=0, weights=share)
        square = np.where(within > _FLAT**2 * overall, within, overall)
        return np.where(square > (1e-12 * np.abs(centre)) ** 2, np.sqrt(square), 1.0)

    def radii(self, ordinary: Sequence[int]) -> FloatArray:
        """(o,) the ordinary clusters' radii; one of identical rows has that of all of them together, or 1."""
        own = self.radius[list(ordinary)]
        share = self.share[list(ordinary)]
        together = float(np.sqrt(np.average(own**2, weights=share if share.sum() > 0 else None)))
        return np.where(own > _FLAT * together, own, together if together > 0 else 1.0)

    def coarse(self) -> ClusterProfile:
        """To three digits, as it may travel: shares and radii to the last bit would tell counts.

        It is what it was when it is coarse already.
        """
        spread = None if self.spread is None else _three_digits(self.spread)
        return ClusterProfile(_three_digits(self.share), _three_digits(self.radius), spread)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        data: dict[str, JsonValue] = {"share": self.share.tolist(), "radius": self.radius.tolist()}
        if self.spread is not None:
            data["spread"] = self.spread.tolist()
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any], clusters: int, features: int) -> ClusterProfile:
        """Read back what :meth:`to_json` wrote.

        Raises:
            ArtifactError: a field is missing or wrong.
        """
        try:
            share, radius = (np.array(data[name], dtype=np.float64) for name in ("share", "radius"))
            spread = np.array(data["spread"], dtype=np.float64) if "spread" in data else None
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"cluster profile: {error!r} is missing or wrong") from error
        arrays = [share, radius] if spread is None else [share, radius, spread]
        shapes = [(clusters,), (clusters,), (clusters, features)]
        for array, shape in zip(arrays, shapes, strict=False):
            if array.shape != shape or not np.all(np.isfinite(array)) or np.any(array < 0):
                raise ArtifactError(f"cluster profile: need {shape} numbers of 0 or more, not {array.shape}")
        return cls(share, radius, spread)


def profile_of(clusters: Sequence[Cluster], spread: FloatArray | None) -> ClusterProfile:
    """The profile of clusters whose weights are known."""
    weight = np.array([c.weight for c in clusters])
    inertia = np.array([c.inertia for c in clusters])
    safe = np.where(weight > 0, weight, 1.0)
    return ClusterProfile(weight / max(weight.sum(), 1e-300), np.sqrt(np.maximum(inertia, 0.0) / safe), spread)


def coordinates(
    features: Sequence[e.Expression], measure: str
) -> tuple[tuple[Mapping[str, e.Expression], ...], list[e.Expression]]:
    """Layers of intermediate columns, and the coordinates that centroids are in: directions under cosine distance."""
    if measure != "cosine":
        return (), [e.again(f) for f in features]
    norm = {"__hanse_norm": e.root(e.total(e.square(e.again(f)) for f in features))}
    unit = {f"__hanse_u{j}": e.divide(e.again(f), e.column("__hanse_norm")) for j, f in enumerate(features)}
    return (norm, unit), [e.column(name) for name in unit]


def spread_observation(model: Clustering, features: Sequence[str], *, weighted: bool, exact: bool) -> Observation:
    """For each cluster ``weight`` () and ``square`` (d,), the weighted squares of its rows' coordinates.

    Args:
        model: the clustering.
        features: the columns of the rows.
        weighted: whether rows have weights.
        exact: take squares about each cluster's own centroid, and not about the centre of all, which is cheaper.
    """
    columns = [e.column(f) for f in features]
    layers, at = coordinates(columns, model.distance_measure)
    label = next(iter(model.predict(columns).values()))
    labelled = {"label": label}
    away: dict[str, e.Expression] = {}
    for j, (value, centre) in enumerate(zip(at, _centre(model), strict=True)):
        own = [float(c.centroid[j]) for c in model.clusters]
        branches = [e.when(e.equal(e.column("label"), e.integer(i)), e.number(c)) for i, c in enumerate(own[:-1])]
        away[f"away{j}"] = e.subtract(value, e.case(branches, e.number(own[-1])) if exact else e.number(centre))
    w = e.column(WEIGHT)
    squares = [e.square(e.column(name)) for name in away]
    aggregates = {
        "weight": Aggregate((w,)) if weighted else Aggregate((e.number(1.0),), (), "count"),
        "square": Aggregate(tuple(e.multiply(e.again(w), s) if weighted else s for s in squares), (len(squares),)),
    }
    return Observation(aggregates, (*layers, labelled, away), e.column("label"), len(model.clusters))


def spreads_of(model: Clustering, total: Statistics, *, exact: bool) -> FloatArray | None:
    """(k, d) standard deviations, from the observation's total; 0 for a cluster without rows.

    Returns:
        None where squares about the centre of all have lost the digits of a spread, so that it must be taken exactly.
    """
    weight = total["weight"][:, None]
    square = np.divide(total["square"], weight, out=np.zeros_like(total["square"]), where=weight > 0)
    if exact:
        return np.asarray(np.sqrt(square))
    centroids = np.array([c.centroid for c in model.clusters])
    variance = square - np.where(weight > 0, (centroids - _centre(model)) ** 2, 0.0)
    if np.any((variance < _EXACT * square) & (square > 0)):
        return None
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def _centre(model: Clustering) -> FloatArray:
    """(d,) of all rows."""
    weight = np.array([c.weight for c in model.clusters])
    return np.asarray(
        np.average([c.centroid for c in model.clusters], axis=0, weights=weight if weight.sum() > 0 else None)
    )


def _three_digits(values: FloatArray) -> FloatArray:
    """Cut off, not rounded: a share below a bound stays below it."""
    return np.asarray(np.vectorize(_cut, otypes=[np.float64])(values))


def _cut(value: float) -> float:
    with localcontext(prec=3, rounding=ROUND_DOWN):
        return float(+Decimal(repr(float(value))))
