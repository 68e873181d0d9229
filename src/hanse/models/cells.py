"""A sketch of a cloud of rows: sums over cells of a grid along its principal axes.

The grid's bins are narrow near the centre and grow wide outwards, since real purchases have heavy tails: a far customer
gets a cell of its own, the dense middle is told apart finely. One scan gives for each cell its count,
weight, vector sum and sum of squares. These add up over data holders and their size does not depend on the number of
rows, so that starts can compete in memory at no further scan (the idea of clustering features: Zhang, Ramakrishnan &
Livny 1996, "BIRCH").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hanse import expressions as e
from hanse.statistics import BoolArray, FloatArray

__all__ = ["BINS", "Cloud", "Grid", "principal_axes"]

BINS: tuple[tuple[int, ...], ...] = ((), (1024,), (96, 64), (28, 18, 12), (16, 12, 8, 6))
"""Bins along the first, second ... principal axis, by how many axes there are; those after the fourth are not told
apart. A few thousand cells are enough for starts to compete, and few enough to be cheap."""

FINE_BINS: tuple[tuple[int, ...], ...] = ((), (4096,), (192, 128), (56, 36, 24), (24, 16, 16, 12))
"""For clouds of at most :data:`FEW_ROWS` rows, most of which then have a cell of their own."""

FEW_ROWS = 20_000

_MOST_AXES = len(BINS) - 1

_NO_SHIFT = 1e-9
"""Standard deviations by which a grid may stand off its centre: the first one's is the origin but for rounding."""

_HALF = 1.0
"""Half of an axis's bins lie within so many standard deviations of the centre."""


@dataclass(frozen=True)
class Cloud:
    """Cells that hold rows: ``c`` of them, with ``d`` coordinates about the origin.

    Args:
        count: (c,) rows.
        weight: (c,) sum of weights.
        sums: (c, d) weighted sums.
        squares: (c,) weighted sums of squared lengths.
    """

    count: FloatArray
    weight: FloatArray
    sums: FloatArray
    squares: FloatArray

    @classmethod
    def of(cls, count: FloatArray, weight: FloatArray, sums: FloatArray, squares: FloatArray) -> Cloud:
        """The cells with a positive weight."""
        held = weight > 0
        return cls(count[held], weight[held], sums[held], squares[held])

    def __len__(self) -> int:
        return len(self.weight)

    def part(self, chosen: BoolArray) -> Cloud:
        """The cells for which ``chosen`` (c,) is true."""
        return Cloud(self.count[chosen], self.weight[chosen], self.sums[chosen], self.squares[chosen])

    @property
    def points(self) -> FloatArray:
        """(c, d) the cells' means."""
        return self.sums / self.weight[:, None]


def principal_axes(covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Principal axes of a covariance (d, d), the widest first.

    Returns:
        axes (a, d) of length 1, and standard deviations (a,) along them; axes without spread are left out. An axis's
        first coordinate of any size is positive, so that the axes are the same on every machine.
    """
    values, vectors = np.linalg.eigh(covariance)
    order = np.argsort(-values, kind="stable")
    values, axes = values[order], vectors[:, order].T
    keep = values > max(values[0], 0.0) * 1e-14 if len(values) else values > 0
    keep &= values > 0
    values, axes = values[keep], axes[keep]
    if len(axes):
        lead = np.argmax(np.abs(axes) > 0.5 * np.abs(axes).max(axis=1, keepdims=True), axis=1)
        axes = axes * np.sign(axes[np.arange(len(axes)), lead])[:, None]
    return axes, np.sqrt(values)


@dataclass(frozen=True)
class Grid:
    """Bins along principal axes.

    Args:
        centre: (d,) of the cloud, about the origin.
        axes: (a, d) directions of length 1; four at the most.
        spread: (a,) standard deviations along them.
        bins: (a,) along them.
    """

    centre: FloatArray
    axes: FloatArray
    spread: FloatArray
    bins: tuple[int, ...]

    @classmethod
    def around(cls, centre: FloatArray, covariance: FloatArray, count: float) -> Grid:
        """The grid of a cloud of ``count`` rows with this centre (d,) and covariance (d, d)."""
        axes, spread = principal_axes(covariance)
        bins = (FINE_BINS if count <= FEW_ROWS else BINS)[min(len(spread), _MOST_AXES)]
        return cls(centre, axes[:_MOST_AXES], spread[:_MOST_AXES], bins)

    @property
    def cells(self) -> int:
        """How many cells."""
        return int(np.prod(self.bins, dtype=np.int64))

    def cell(self, coordinates: Sequence[e.Expression]) -> e.Expression:
        """A row's cell, from its coordinates about the origin: a double that holds a whole number."""
        index: e.Expression = e.number(0.0)
        for axis, spread, bins in zip(self.axes, self.spread, self.bins, strict=True):
            along = e.dot((axis / spread).tolist(), coordinates)
            centre = float(axis @ self.centre) / spread
            if abs(centre) > _NO_SHIFT:
                along = e.subtract(along, e.number(centre))
            index = e.add(e.multiply(index, e.number(bins)), _bin(along, bins))
        return index


def _bin(along: e.Expression, bins: int) -> e.Expression:
    """The bin of a distance ``v`` in standard deviations, from ``v / (h + |v|)``, which is between -1 and 1.

    Nothing else is as cheap to compute and as patient with far tails: of 8 bins on one side the outermost begins at
    seven times :data:`_HALF`.
    """
    folded = e.divide(along, e.add(e.number(_HALF), e.absolute(e.again(along))))
    return e.floor(e.add(e.multiply(folded, e.number(bins / 2 * (1 - 1e-12))), e.number(bins / 2)))
