"""Which measures tell how good a model is, by what it does with a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from hanse.estimator import Family
from hanse.metrics.classification import ClassificationMetrics
from hanse.metrics.clustering import ClusteringMetrics
from hanse.metrics.distribution import DistributionMetrics

__all__ = ["METRICS", "Metrics", "measures_of"]

Metrics = ClusteringMetrics | ClassificationMetrics | DistributionMetrics
"""The measures of one evaluation."""

METRICS: Final[Mapping[Family, type[Any]]] = {
    "clustering": ClusteringMetrics,
    "classification": ClassificationMetrics,
    "distribution": DistributionMetrics,
}
"""For each family a dataclass of measures; its fields are the columns of an evaluation, in order."""


def measures_of(family: Family) -> Mapping[str, type[int] | type[float]]:
    """Names of a family's measures, and whether they are whole numbers."""
    return {f.name: int if f.type == "int" else float for f in dataclasses.fields(METRICS[family])}
