"""What a clustering model is once it is trained: its clusters, and the numbers about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import numpy as np

from hanse.errors import ArtifactError
from hanse.estimator import Model
from hanse.statistics import FloatArray
from hanse.types import JsonValue

__all__ = ["Cluster", "Clustering", "by_size", "cluster_from_json", "described", "few_clusters", "is_clustering"]


@dataclass(frozen=True)
class Cluster:
    """One cluster.

    Args:
        centroid: (d,) in feature units; of length 1 under cosine distance.
        count: rows; 0 where nobody has told.
        weight: the sum of the rows' weights; 0 likewise.
        inertia: weighted sum of the rows' distances about the centroid (squared Euclidean, or 1 - cos).
        spread: (d,) standard deviations about the centroid, where training has found them on its way; not stored.
    """

    centroid: FloatArray
    count: int
    weight: float
    inertia: float
    spread: FloatArray | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {
            "centroid": [float(x) for x in self.centroid],
            "count": self.count,
            "weight": self.weight,
            "inertia": self.inertia,
        }


class Clustering(Model, Protocol):
    """A model that puts every row into one of its clusters."""

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        """By label."""
        ...


def is_clustering(model: Model) -> TypeGuard[Clustering]:
    """Whether a model has clusters."""
    return model.family == "clustering"


def described(clusters: Sequence[Cluster]) -> Iterator[tuple[str, str]]:
    """What DESCRIBE MODEL shows of clusters."""
    for number, c in enumerate(clusters):
        size = f"{c.count} rows" if c.count else "rows not told"
        yield f"cluster {number}", f"{size}, centroid {[round(float(x), 6) for x in c.centroid]}"


def few_clusters(wanted: int, numbers: Mapping[str, float]) -> Iterator[str]:
    """A warning where there are fewer clusters than were asked for."""
    found = int(numbers.get("clusters", 0))
    if found < wanted:
        yield f"NUM_CLUSTERS = {wanted}, found {found}: no further cluster can be divided"


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
