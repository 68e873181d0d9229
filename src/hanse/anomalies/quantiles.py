"""A sketch of a model's training scores: a histogram that adds up, from which any contamination becomes a threshold.

Cells are equally wide on a logarithmic scale. Each keeps its rows' weight and its least and greatest score, so that
cells of one or two rows, as the tail has them, are exact. Of the finished histogram the upper half is kept, in cells
that grow with the weight above them: some two hundred for a million rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from hanse import expressions as e
from hanse.errors import ArtifactError
from hanse.estimator import WEIGHT, Aggregate, Observation
from hanse.statistics import FloatArray, Statistics
from hanse.types import JsonValue

__all__ = [
    "EDGES",
    "LARGEST_CONTAMINATION",
    "ScoreQuantiles",
    "edge_cell",
    "histogram",
    "quantiles_between",
    "quantiles_of",
]

LARGEST_CONTAMINATION: Final = 0.5
_PER_OCTAVE: Final = 64
_LOWEST: Final = -10  # octave; smaller scores count as this one
_HIGHEST: Final = 1e300  # stands for an overflow, which JSON cannot carry
_CELLS: Final = 36 * _PER_OCTAVE
EDGES: Final = (0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0, 5.66, 8.0, 11.3, 16.0)
"""Between the few cells of a histogram that leaves a silo: so few that most hold enough customers."""

_FINE: Final = 16  # cells are joined while they hold less than this part of the weight above them


def histogram(score: e.Expression, let: tuple[Mapping[str, e.Expression], ...], *, weighted: bool) -> Observation:
    """Per cell of the scores' histogram ``count``, ``weight``, ``least`` and ``greatest``, each ().

    Args:
        score: an expression over the relation and ``let``.
        let: layers of intermediate columns.
        weighted: whether rows have weights.
    """
    layers = (*let, {"score": score})
    one = e.number(1.0)
    value = e.column("score")
    octaves = e.multiply(e.log(e.again(value)), e.number(_PER_OCTAVE / math.log(2.0)))
    inside = e.floor(e.subtract(octaves, e.number(_LOWEST * _PER_OCTAVE)))
    bounds = (2.0**_LOWEST * (1 + 1e-12), 2.0 ** (_LOWEST + _CELLS // _PER_OCTAVE) * (1 - 1e-12))
    cell = e.case(
        [
            e.when(e.at_least(e.number(bounds[0]), e.again(value)), e.number(0.0)),
            e.when(e.at_least(e.again(value), e.number(bounds[1])), e.number(_CELLS - 1)),
        ],
        inside,
    )
    aggregates = {
        "count": Aggregate((one,), (), "count"),
        "weight": Aggregate((e.column(WEIGHT),)) if weighted else Aggregate((e.again(one),), (), "count"),
        "least": Aggregate((e.again(value),), (), "min"),
        "greatest": Aggregate((e.again(value),), (), "max"),
    }
    return Observation(aggregates, layers, cell, _CELLS)


def edge_cell(score: e.Expression) -> e.Expression:
    """The number of the cell between :data:`EDGES` that a score falls into."""
    branches = [e.when(e.at_least(e.number(edge), e.again(score)), e.integer(i)) for i, edge in enumerate(EDGES)]
    return e.case(branches, e.integer(len(EDGES)))


@dataclass(frozen=True)
class ScoreQuantiles:
    """The upper half of the training scores.

    Args:
        least: (c,) of each cell that holds rows, ascending.
        greatest: (c,) likewise.
        count: (c,) rows.
        weight: (c,) their weight.
        below: weight of all rows below these cells.
        rows: of the training.
        tail: Where cells are those of a histogram between edges, which tells nothing of the scores within them: the
            exponent by which rows become fewer beyond the last edge (Pareto). None where cells tell their extremes.
    """

    least: FloatArray
    greatest: FloatArray
    count: FloatArray
    weight: FloatArray
    below: float
    rows: int
    tail: float | None = None

    @property
    def tail_share(self) -> float:
        """The share of the weight beyond the last edge, where thresholds are extrapolated; 0 without edges."""
        if self.tail is None:
            return 0.0
        return float(self.weight[-1] / (self.below + self.weight.sum()))

    def threshold(self, contamination: float) -> float:
        """The score that at most this share of the training's weight exceeds.

        Args:
            contamination: above 0, at most :data:`LARGEST_CONTAMINATION`.
        """
        wanted = contamination * (self.below + float(self.weight.sum())) * (1 + 1e-12)
        if self.tail is not None:
            return self._between_edges(wanted)
        over = 0.0
        for least, greatest, count, weight in zip(
            self.least[::-1], self.greatest[::-1], self.count[::-1], self.weight[::-1], strict=True
        ):
            if over + weight > wanted:
                rank = math.floor((wanted - over) / (weight / count))
                return float(least + (greatest - least) * max(1.0 - rank / max(count - 1, 1), 0.0))
            over += float(weight)
        return float(self.least[0])

    def _between_edges(self, wanted: float) -> float:
        """The score that so much weight exceeds: a power law between edges, and beyond the last one."""
        assert self.tail is not None  # asked only then
        over = float(self.weight[-1])
        if wanted <= over:
            return float(min(self.least[-1] * (over / wanted) ** (1.0 / self.tail), _HIGHEST))
        for low, high, weight in zip(self.least[-2::-1], self.greatest[-2::-1], self.weight[-2::-1], strict=True):
            if over + weight >= wanted:
                if over <= 0 or low <= 0:
                    return float(high - (high - low) * (wanted - over) / weight)
                share = math.log(wanted / over) / math.log((over + weight) / over)
                return float(high * (low / high) ** share)
            over += float(weight)
        return float(self.least[0])

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {
            "least": self.least.tolist(),
            "greatest": self.greatest.tolist(),
            "count": self.count.tolist(),
            "weight": self.weight.tolist(),
            "below": self.below,
            "rows": self.rows,
            **({} if self.tail is None else {"tail": self.tail}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoreQuantiles:
        """Read back what :meth:`to_json` wrote.

        Raises:
            ArtifactError: a field is missing or wrong.
        """
        try:
            arrays = [np.array(data[name], dtype=np.float64) for name in ("least", "greatest", "count", "weight")]
            below, rows = float(data["below"]), int(data["rows"])
            tail = float(data["tail"]) if "tail" in data else None
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"score quantiles: {error!r} is missing or wrong") from error
        least, greatest, count, weight = arrays
        fits = all(a.ndim == 1 and len(a) == len(least) and np.all(np.isfinite(a)) for a in arrays)
        if not fits or not len(least) or np.any(count < 1) or np.any(weight < 0) or np.any(greatest < least):
            raise ArtifactError("score quantiles: need least, greatest, count and weight of at least one cell")
        if tail is not None and not (math.isfinite(tail) and tail > 0):
            raise ArtifactError(f"score quantiles: tail = {tail}: need a positive number")
        return cls(least, greatest, count, weight, below, rows, tail)


def quantiles_of(total: Statistics) -> ScoreQuantiles:
    """The sketch, from the histogram over all data holders."""
    whole = float(total["weight"].sum())
    held = np.flatnonzero(total["weight"] > 0)
    cells: list[list[int]] = []
    over = inside = 0.0
    for cell in held[::-1].tolist():
        weight = float(total["weight"][cell])
        if over > LARGEST_CONTAMINATION * whole * (1 + 1e-9):
            break
        if cells and inside + weight <= (over - inside) / _FINE:
            cells[-1].append(cell)
            inside += weight
        else:
            cells.append([cell])
            inside = weight
        over += weight
    cells.reverse()
    return ScoreQuantiles(
        np.array([min(total["least"][c].min(), _HIGHEST) for c in cells]),
        np.array([min(total["greatest"][c].max(), _HIGHEST) for c in cells]),
        np.array([total["count"][c].sum() for c in cells]),
        np.array([total["weight"][c].sum() for c in cells]),
        max(whole - over, 0.0),
        int(total["count"].sum()),
    )


_STEEPEST: Final = 20.0  # of a tail: rows become fewer by half within 4 % of the score
_FLATTEST: Final = 0.5


def quantiles_between(counts: Sequence[FloatArray], joins: Sequence[Sequence[int]]) -> ScoreQuantiles | None:
    """The sketch of several holders' histograms between :data:`EDGES`.

    Edges that lie within a joined cell of any holder tell nothing of the sum, and are left out.

    Args:
        counts: for each holder (cells,) rows.
        joins: for each holder the cell in which each cell's rows are counted.

    Returns:
        None where no edge is left, or no row is above one.
    """
    total = np.sum(counts, axis=0)
    edges = [
        edge
        for edge in range(len(EDGES))
        if total[edge + 1 :].sum() > 0 and not any(_straddled(edge, mapping) for mapping in joins)
    ]
    if not edges:
        return None
    starts = [0, *(edge + 1 for edge in edges), len(total)]
    weight = np.array([total[a:b].sum() for a, b in pairwise(starts)])
    bounds = [0.0, *(EDGES[edge] for edge in edges)]
    tail = _FLATTEST
    if len(edges) > 1 and weight[-2] > 0:
        tail = math.log((weight[-1] + weight[-2]) / weight[-1]) / math.log(bounds[-1] / bounds[-2])
    return ScoreQuantiles(
        np.array(bounds),
        np.array([*bounds[1:], _HIGHEST]),
        np.maximum(weight, 1.0),
        weight,
        0.0,
        int(total.sum()),
        float(np.clip(tail, _FLATTEST, _STEEPEST)),
    )


def _straddled(edge: int, mapping: Sequence[int]) -> bool:
    """Whether cells from both sides of an edge are counted together."""
    return bool(set(mapping[: edge + 1]) & set(mapping[edge + 1 :]))
