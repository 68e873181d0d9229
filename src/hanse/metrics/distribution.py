"""How usual rows are to a model of their distribution: the mean of their scores and its spread, from sums."""

from __future__ import annotations

from dataclasses import dataclass

from hanse import expressions as e
from hanse.estimator import Aggregate, Observation
from hanse.statistics import Statistics

__all__ = ["DistributionMetrics", "first_observation", "metrics_of", "second_observation"]


@dataclass(frozen=True)
class DistributionMetrics:
    """What ``model_evaluate`` returns for a model of a distribution, in the order of its columns.

    Args:
        mean_score: mean over rows of the anomaly score; compare it with that of the training's rows, about 1.
        deviation_score: standard deviation of the score over rows.
        rows: evaluated.
    """

    mean_score: float
    deviation_score: float
    rows: int


def first_observation(score: str) -> Observation:
    """``count`` () and ``sum`` () of the column ``score``."""
    return Observation({"count": Aggregate((e.number(1.0),), (), "count"), "sum": Aggregate((e.column(score),))})


def second_observation(score: str, mean: float) -> Observation:
    """``count`` (), and ``square`` () of the score about its mean."""
    layer = {"away": e.subtract(e.column(score), e.number(mean))}
    aggregates = {
        "count": Aggregate((e.number(1.0),), (), "count"),
        "square": Aggregate((e.square(e.column("away")),)),
    }
    return Observation(aggregates, (layer,))


def metrics_of(mean: float, total: Statistics) -> DistributionMetrics:
    """The measures, from the mean and the second observation."""
    rows = int(total["count"])
    return DistributionMetrics(mean, float((total["square"] / rows) ** 0.5), rows)
