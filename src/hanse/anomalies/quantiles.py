"""A sketch of a model's training scores: a histogram that adds up, from which any contamination becomes a threshold.

Cells are equally wide on a logarithmic scale. Each keeps its rows' weight and its least and greatest score, so that
cells of one or two rows, as the tail has them, are exact. Of the finished histogram the upper half is kept, in cells
that grow with the weight above them: some two hundred for a million rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hanse import expressions as e
from hanse.errors import ArtifactError
from hanse.estimator import WEIGHT, Aggregate, Observation
from hanse.statistics import FloatArray, Statistics
from hanse.types import JsonValue

__all__ = ["LARGEST_CONTAMINATION", "ScoreQuantiles", "histogram", "quantiles_of"]

LARGEST_CONTAMINATION: Final = 0.5
_PER_OCTAVE: Final = 64
_LOWEST: Final = -10  # octave; smaller scores count as this one
_HIGHEST: Final = 1e300  # stands for an overflow, which JSON cannot carry
_CELLS: Final = 36 * _PER_OCTAVE
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
    octaves = e.multiply(e.log(value.copy()), e.number(_PER_OCTAVE / math.log(2.0)))
    inside = e.floor(e.subtract(octaves, e.number(_LOWEST * _PER_OCTAVE)))
    bounds = (2.0**_LOWEST * (1 + 1e-12), 2.0 ** (_LOWEST + _CELLS // _PER_OCTAVE) * (1 - 1e-12))
    cell = e.case(
        [
            e.when(e.at_least(e.number(bounds[0]), value.copy()), e.number(0.0)),
            e.when(e.at_least(value.copy(), e.number(bounds[1])), e.number(_CELLS - 1)),
        ],
        inside,
    )
    aggregates = {
        "count": Aggregate((one,), (), "count"),
        "weight": Aggregate((e.column(WEIGHT),)) if weighted else Aggregate((one.copy(),), (), "count"),
        "least": Aggregate((value.copy(),), (), "min"),
        "greatest": Aggregate((value.copy(),), (), "max"),
    }
    return Observation(aggregates, layers, cell, _CELLS)


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
    """

    least: FloatArray
    greatest: FloatArray
    count: FloatArray
    weight: FloatArray
    below: float
    rows: int

    def threshold(self, contamination: float) -> float:
        """The score that at most this share of the training's weight exceeds.

        Args:
            contamination: above 0, at most :data:`LARGEST_CONTAMINATION`.
        """
        wanted = contamination * (self.below + float(self.weight.sum())) * (1 + 1e-12)
        over = 0.0
        for least, greatest, count, weight in zip(
            self.least[::-1], self.greatest[::-1], self.count[::-1], self.weight[::-1], strict=True
        ):
            if over + weight > wanted:
                rank = math.floor((wanted - over) / (weight / count))
                return float(least + (greatest - least) * max(1.0 - rank / max(count - 1, 1), 0.0))
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
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"score quantiles: {error!r} is missing or wrong") from error
        least, greatest, count, weight = arrays
        fits = all(a.ndim == 1 and len(a) == len(least) and np.all(np.isfinite(a)) for a in arrays)
        if not fits or not len(least) or np.any(count < 1) or np.any(weight < 0) or np.any(greatest < least):
            raise ArtifactError("score quantiles: need least, greatest, count and weight of at least one cell")
        return cls(least, greatest, count, weight, below, rows)


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
