"""How good a classifier of labels 0 and 1 is: area under the ROC curve, accuracy, precision and recall.

Source:
    Hanley & McNeil (1982), "The meaning and use of the area under a receiver operating characteristic (ROC) curve": it
    is the chance that a row of label 1 scores higher than a row of label 0, ties counted half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanse import expressions as e
from hanse.estimator import Aggregate, Observation
from hanse.statistics import FloatArray

__all__ = [
    "ClassificationMetrics",
    "Histogram",
    "area_under_curve",
    "confusion_observation",
    "histogram_line",
    "histogram_observation",
    "metrics_of",
    "pairs_observation",
    "score_edges",
    "score_observation",
    "scores_counted",
    "whole_groups",
]

_FAR = 20.0  # log odds; chances beyond are next to 0 or 1, and one such row must not set the scale
_EDGES = 31


@dataclass(frozen=True)
class ClassificationMetrics:
    """What ``model_evaluate`` returns for a classifier, in the order of its columns.

    Args:
        auc_roc: area under the ROC curve; None where the rows have one label only.
        accuracy: share of rows that are predicted right; this and the others are None where a silo may not tell.
        precision: share of rows predicted 1 that are 1; 0 where none is predicted 1.
        recall: share of rows that are 1 that are predicted 1; 0 where none is 1.
    """

    auc_roc: float | None
    accuracy: float | None
    precision: float | None
    recall: float | None


def confusion_observation(target: str, prediction: str) -> Observation:
    """``count`` (4,): rows by label, then by prediction."""
    cell = e.add(e.multiply(e.integer(2), e.column(target)), e.column(prediction))
    return Observation({"count": Aggregate((e.number(1.0),), (), "count")}, (), cell, 4)


def scores_counted(relation: str, score: str, target: str) -> e.Expression:
    """A query: each score with its rows of label 1, ``positive``, and of label 0, ``negative``."""
    counts = {
        "positive": e.group_of("sum", e.column(target)),
        "negative": e.group_of("sum", e.subtract(e.number(1.0), e.column(target))),
    }
    return e.select(relation, counts, [e.column(score)])


def pairs_observation(score: str) -> Observation:
    """Over :func:`scores_counted`: ``won`` () pairs of a 1 and a 0 in which the 1 scores higher, ties counted half."""
    negative = e.column("negative")
    upto = {"upto": e.running_sum(negative, e.column(score))}
    below = e.subtract(e.column("upto"), e.multiply(e.again(negative), e.number(0.5)))
    return Observation({"won": Aggregate((e.multiply(e.column("positive"), below),))}, (upto,))


def metrics_of(confusion: FloatArray, won: float) -> ClassificationMetrics:
    """The measures.

    Args:
        confusion: (2, 2) rows by label, then by prediction; there is at least one.
        won: pairs of both labels in which label 1 scores higher, ties counted half.
    """
    (_, false_positive), (false_negative, true_positive) = confusion.tolist()
    negatives, positives = confusion.sum(axis=1).tolist()
    return ClassificationMetrics(
        won / (positives * negatives) if positives and negatives else None,
        float(np.trace(confusion) / confusion.sum()),
        _share(true_positive, false_positive),
        _share(true_positive, false_negative),
    )


def area_under_curve(negative: FloatArray, positive: FloatArray) -> float:
    """From rows of each label by score, (b,) each, in ascending order; rows of one bin count as ties."""
    below = np.cumsum(negative) - negative / 2
    return float(positive @ below / (positive.sum() * negative.sum()))


def _share(part: float, rest: float) -> float:
    return part / (part + rest) if part + rest else 0.0


# -- over silos: sums that add up, and that a gate may join --------------------------------------


def score_observation(score: str, target: str) -> Observation:
    """By label ``count`` (2,), ``sum`` (2,) and ``square`` (2,) of scores, none counted further than 20 from 0."""
    near = {"near": e.clamp(e.column(score), -_FAR, _FAR)}
    value = e.column("near")
    square = Aggregate((e.square(e.again(value)),))
    aggregates = {"count": Aggregate((e.number(1.0),)), "sum": Aggregate((value,)), "square": square}
    return Observation(aggregates, (near,), e.column(target), 2)


def score_edges(count: float, total: float, square: float) -> list[float]:
    """Edges of score bins, ascending, 0 among them: evenly over three deviations on either side of the mean.

    Args:
        count: of all scores.
        total: their sum.
        square: sum of their squares.
    """
    mean = total / count
    deviation = math.sqrt(max(square / count - mean**2, 0.0))
    spread = np.linspace(mean - 3 * deviation, mean + 3 * deviation, _EDGES).tolist() if deviation > 0 else []
    return sorted({0.0, *spread})


def histogram_observation(score: str, target: str, edges: Sequence[float]) -> Observation:
    """``count`` (2 b,): rows by label, then by bin; a score that equals an edge is below it, as 0 is predicted 0."""
    above = [
        e.case([e.when(e.at_least(e.number(edge), e.column(score)), e.integer(0))], e.integer(1)) for edge in edges
    ]
    bins = len(edges) + 1
    cell = e.add(e.multiply(e.integer(bins), e.column(target)), e.total(above))
    return Observation({"count": Aggregate((e.number(1.0),))}, (), cell, 2 * bins)


def histogram_line(edges: Sequence[float]) -> tuple[float, ...]:
    """Where a histogram's cells lie: those of one label near each other, on one side of 0 nearer still."""
    sides = [sum(edge <= 0 for edge in edges) <= i for i in range(len(edges) + 1)]
    return tuple(label * 1e6 + side * 1e3 + i for label in (0, 1) for i, side in enumerate(sides))


def whole_groups(mapping: Sequence[int], held: Sequence[bool], edges: Sequence[float]) -> tuple[int, ...]:
    """How a histogram's cells were joined, without telling at which of a group's bins its rows begin and end.

    Empty bins beside a group of joined cells are told as part of it, up to the next bin that holds rows, and not across
    0, where the prediction changes.

    Args:
        mapping: (2 b,) for each cell the one that its rows are counted in.
        held: (2 b,) whether a cell held rows before.
        edges: of the bins.
    """
    told = list(mapping)
    bins = len(edges) + 1
    above = sum(edge <= 0 for edge in edges)
    joined = {j for i, j in enumerate(mapping) if i != j}
    for start, stop in ((c * bins + low, c * bins + high) for c in (0, 1) for low, high in ((0, above), (above, bins))):
        for order in (range(start, stop), range(stop - 1, start - 1, -1)):
            beside = -1
            for cell in order:
                if held[cell] or told[cell] != cell:
                    beside = told[cell]
                elif beside in joined:
                    told[cell] = beside
    return tuple(told)


@dataclass(frozen=True)
class Histogram:
    """A silo's scores by label, as far as its gate lets them out.

    Args:
        count: (2, b) rows by label, then by bin.
        edges: of the bins, 0 among them.
        mean: (2,) of each label's scores.
        deviation: (2,) of each label's scores.
        mapping: (2 b,) for each cell the one that its rows are counted in.
    """

    count: FloatArray
    edges: Sequence[float]
    mean: FloatArray
    deviation: FloatArray
    mapping: Sequence[int]

    @property
    def above(self) -> int:
        """The first bin that is predicted 1."""
        return sum(edge <= 0 for edge in self.edges)

    @property
    def groups(self) -> list[list[npt.NDArray[np.intp]]]:
        """By label, the bins of each group of joined cells that holds rows; a cell alone is a group, too."""
        told = np.asarray(self.mapping).reshape(self.count.shape)
        found: list[list[npt.NDArray[np.intp]]] = []
        for row, cells in zip(self.count, told, strict=True):
            bins = [np.flatnonzero(cells == cell) for cell in np.unique(cells)]
            found.append([inside for inside in bins if row[inside].sum() > 0])
        return found

    def spread(self) -> FloatArray:
        """(2, b) rows by label and bin; those of a group are shared out as a normal distribution of its label would."""
        whole = np.zeros_like(self.count)
        for label, groups in enumerate(self.groups):
            marks = (np.asarray(self.edges) - self.mean[label]) / max(self.deviation[label], 1e-12)
            below = np.array([0.0, *((1 + math.erf(mark / math.sqrt(2))) / 2 for mark in marks), 1.0])
            share = np.maximum(np.diff(below), 1e-12)
            for inside in groups:
                whole[label, inside] = self.count[label, inside].sum() * share[inside] / share[inside].sum()
        return whole

    def metrics(self) -> ClassificationMetrics:
        """The measures as far as they can be told.

        ``accuracy``, ``precision`` and ``recall`` are exact, or None where cells on both sides of 0 were joined.
        ``auc_roc`` counts rows of one bin as ties; where cells were joined it is an estimate, after each label's mean
        and deviation.
        """
        groups = self.groups
        known = [all(not inside[0] < self.above <= inside[-1] for inside in own) for own in groups]
        (tn, fp), (fn, tp) = ((row[: self.above].sum(), row[self.above :].sum()) for row in self.count)
        return ClassificationMetrics(
            area_under_curve(*self.spread()) if all(groups) else None,
            float((tn + tp) / self.count.sum()) if all(known) else None,
            _share(float(tp), float(fp)) if all(known) else None,
            _share(float(tp), float(fn)) if known[1] else None,
        )
