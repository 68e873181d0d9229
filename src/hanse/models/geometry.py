"""How rows, centroids and costs are measured: squared Euclidean, or cosine.

Both speak in *sums about an origin*, which add up over data holders: the weight ``W``, the vector sum ``S`` and the
sum of squares ``Q``. Euclidean rows are taken about the overall centre, so that features with mean 1e6 and sd 1 lose
nothing; cosine rows are scaled to length 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from hanse import expressions as e
from hanse.errors import DataError
from hanse.statistics import FloatArray

__all__ = ["GEOMETRIES", "Cosine", "Euclidean", "Geometry", "geometry_of"]

Layers = tuple[Mapping[str, e.Expression], ...]


class Geometry(Protocol):
    """A way of measuring; ``d`` is the number of features."""

    name: ClassVar[str]

    def rows(self, features: Sequence[str], origin: FloatArray) -> tuple[Layers, tuple[e.Expression, ...]]:
        """Layers of intermediate columns, and the ``d`` coordinates that are summed."""
        ...

    def means(self, weight: FloatArray, sums: FloatArray) -> FloatArray:
        """Centroids (..., d) about the origin, of weights (...) and sums (..., d)."""
        ...

    def cost(self, weight: FloatArray, sums: FloatArray, squares: FloatArray) -> FloatArray:
        """Inertia (...): the weighted cost of rows about their own centroid; never negative."""
        ...

    def planes(self, pairs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The planes between pairs of centroids (2, ..., d): normals (..., d), and offsets (...) along them."""
        ...

    def distance_sq(self, features: Sequence[e.Expression], centroid: FloatArray) -> e.Expression:
        """A row's cost against one centroid, as SQL over the raw features."""
        ...

    def place(self, features: Sequence[e.Expression], origin: FloatArray) -> list[e.Expression]:
        """Where a row lies, for :meth:`affinity`, as SQL over the raw features."""
        ...

    def affinity(self, place: Sequence[e.Expression], centroid: FloatArray, origin: FloatArray) -> e.Expression:
        """SQL over a row's :meth:`place` that is greatest for the nearest centroid, which is in feature units."""
        ...


@dataclass(frozen=True)
class Euclidean:
    """Squared Euclidean distance; centroids are means."""

    name: ClassVar[str] = "euclidean"

    def rows(self, features: Sequence[str], origin: FloatArray) -> tuple[Layers, tuple[e.Expression, ...]]:
        """The features about the origin."""
        layer = {f"z{i}": value for i, value in enumerate(self.place([e.column(f) for f in features], origin))}
        return (layer,), tuple(e.column(z) for z in layer)

    def means(self, weight: FloatArray, sums: FloatArray) -> FloatArray:
        """Plain means."""
        return np.asarray(sums / weight[..., None])

    def cost(self, weight: FloatArray, sums: FloatArray, squares: FloatArray) -> FloatArray:
        """``Q - |S|^2 / W``."""
        safe = np.where(weight > 0, weight, 1.0)
        return np.asarray(np.maximum(squares - np.einsum("...i,...i", sums, sums) / safe, 0.0))

    def planes(self, pairs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The bisectors: normal ``a - b`` through the midpoint."""
        normals = pairs[0] - pairs[1]
        return normals, np.einsum("...j,...j", normals, (pairs[0] + pairs[1]) / 2)

    def distance_sq(self, features: Sequence[e.Expression], centroid: FloatArray) -> e.Expression:
        """``sum((x - c)^2)``."""
        return e.total(e.square(e.subtract(e.again(f), e.number(c))) for f, c in zip(features, centroid, strict=True))

    def place(self, features: Sequence[e.Expression], origin: FloatArray) -> list[e.Expression]:
        """``x - o``, the very coordinates of :meth:`rows`."""
        return [e.subtract(e.again(f), e.number(o)) for f, o in zip(features, origin, strict=True)]

    def affinity(self, place: Sequence[e.Expression], centroid: FloatArray, origin: FloatArray) -> e.Expression:
        """``(x - o).(c - o) - |c - o|^2 / 2``, which orders centroids as the distance does."""
        away = centroid - origin
        return e.subtract(e.dot(away.tolist(), place), e.number(float(away @ away) / 2))


@dataclass(frozen=True)
class Cosine:
    """``1 - cos``; rows and centroids have length 1 (spherical k-means, Dhillon & Modha 2001)."""

    name: ClassVar[str] = "cosine"

    def rows(self, features: Sequence[str], origin: FloatArray) -> tuple[Layers, tuple[e.Expression, ...]]:
        """The features scaled to length 1; the origin does not matter."""
        norm = {"norm": e.root(e.total(e.square(e.column(f)) for f in features))}
        unit = {f"z{i}": e.divide(e.column(f), e.column("norm")) for i, f in enumerate(features)}
        return (norm, unit), tuple(e.column(z) for z in unit)

    def means(self, weight: FloatArray, sums: FloatArray) -> FloatArray:
        """Mean directions."""
        length = np.sqrt((sums**2).sum(-1))
        if np.any((length <= 0) & (weight > 0)):
            raise DataError("cosine distance: rows that cancel out have no mean direction; use 'euclidean'")
        return np.asarray(sums / np.where(length > 0, length, 1.0)[..., None])

    def cost(self, weight: FloatArray, sums: FloatArray, squares: FloatArray) -> FloatArray:
        """``W - |S|``."""
        return np.asarray(np.maximum(weight - np.sqrt((sums**2).sum(-1)), 0.0))

    def planes(self, pairs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The bisectors of two directions go through zero."""
        return pairs[0] - pairs[1], np.zeros(pairs.shape[1:-1])

    def distance_sq(self, features: Sequence[e.Expression], centroid: FloatArray) -> e.Expression:
        """``1 - cos``, written as half the squared distance of the scaled row, so that no digit is lost."""
        norm = e.root(e.total(e.square(e.again(f)) for f in features))
        away = [
            e.subtract(e.divide(e.again(f), e.again(norm)), e.number(c))
            for f, c in zip(features, centroid, strict=True)
        ]
        return e.multiply(e.number(0.5), e.total(e.square(a) for a in away))

    def place(self, features: Sequence[e.Expression], origin: FloatArray) -> list[e.Expression]:
        """``x``; the row's own length does not change the order."""
        return list(features)

    def affinity(self, place: Sequence[e.Expression], centroid: FloatArray, origin: FloatArray) -> e.Expression:
        """``x.c``."""
        return e.dot(centroid.tolist(), place)


GEOMETRIES: tuple[Geometry, ...] = (Euclidean(), Cosine())


def geometry_of(name: Any) -> Geometry:
    """The way of measuring called ``name``.

    Raises:
        ValueError: there is none.
    """
    for geometry in GEOMETRIES:
        if geometry.name == name:
            return geometry
    raise ValueError(f"distance measure {name!r}")
