"""What a clustering model is once it is trained: its clusters, and the numbers about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.errors import ArtifactError
from hanse.statistics import FloatArray
from hanse.types import JsonValue

__all__ = ["Cluster", "by_size", "cluster_from_json"]


@dataclass(frozen=True)
class Cluster:
    """One cluster.

    Args:
        centroid: (d,) in feature units; of length 1 under cosine distance.
        count: rows.
        weight: the sum of the rows' weights.
        inertia: weighted sum of the rows' distances about the centroid (squared Euclidean, or 1 - cos).
    """

    centroid: FloatArray
    count: int
    weight: float
    inertia: float

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {
            "centroid": [float(x) for x in self.centroid],
            "count": self.count,
            "weight": self.weight,
            "inertia": self.inertia,
        }


def cluster_from_json(data: Mapping[str, Any], features: int) -> Cluster:
    """Read a cluster back.

    Raises:
        ArtifactError: a field is missing or wrong.
    """
    try:
        centroid = np.array([float(x) for x in data["centroid"]])
        cluster = Cluster(centroid, int(data["count"]), float(data["weight"]), float(data["inertia"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"cluster {dict(data)!r:.80}: {error!r} is missing or wrong") from error
    if len(centroid) != features or not np.all(np.isfinite(centroid)):
        raise ArtifactError(f"cluster centroid {data['centroid']!r:.80}: need {features} finite numbers")
    return cluster


def by_size(clusters: list[Cluster]) -> list[int]:
    """The order in which clusters are numbered: the largest is 0; equal ones by their centroids."""
    return sorted(range(len(clusters)), key=lambda i: (-clusters[i].weight, tuple(clusters[i].centroid.tolist())))
