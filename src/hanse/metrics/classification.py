"""How good a classifier of labels 0 and 1 is: area under the ROC curve, accuracy, precision and recall.

Source:
    Hanley & McNeil (1982), "The meaning and use of the area under a receiver operating characteristic (ROC) curve": it
    is the chance that a row of label 1 scores higher than a row of label 0, ties counted half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hanse import expressions as e
from hanse.estimator import Aggregate, Observation
from hanse.statistics import FloatArray

__all__ = [
    "ClassificationMetrics",
    "area_under_curve",
    "confusion_observation",
    "metrics_of",
    "pairs_observation",
    "scores_counted",
]


@dataclass(frozen=True)
class ClassificationMetrics:
    """What ``model_evaluate`` returns for a classifier, in the order of its columns.

    Args:
        auc_roc: area under the ROC curve; None where the rows have one label only.
        accuracy: share of rows that are predicted right.
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
    return e.select(relation, counts, e.column(score))


def pairs_observation(score: str) -> Observation:
    """Over :func:`scores_counted`: ``won`` () pairs of a 1 and a 0 in which the 1 scores higher, ties counted half."""
    negative = e.column("negative")
    upto = {"upto": e.running_sum(negative, e.column(score))}
    below = e.subtract(e.column("upto"), e.multiply(negative.copy(), e.number(0.5)))
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
