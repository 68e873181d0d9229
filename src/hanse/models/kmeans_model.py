"""A trained k-means: its centroids, as plain data and as SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from hanse import expressions as e
from hanse.decoding import converted
from hanse.errors import ArtifactError
from hanse.estimator import Family, OutputKind
from hanse.models.clusters import Cluster, cluster_from_json, described
from hanse.models.geometry import geometry_of
from hanse.statistics import FloatArray
from hanse.types import JsonValue

__all__ = ["KMeansModel", "greatest_of"]

Ties = Literal["coordinates", "label"]


def greatest_of(items: Sequence[e.Expression], centroids: Sequence[FloatArray] | FloatArray) -> e.Expression:
    """The number of the greatest of ``items``, one for each of ``centroids`` in feature units.

    A row that is as near to two goes to the first by coordinates: the same one while training and when it predicts,
    whatever the clusters' numbers are.
    """
    order = sorted(range(len(items)), key=lambda i: tuple(centroids[i].tolist()))
    return _winner([(items[i], i) for i in order])


def _winner(items: Sequence[tuple[e.Expression, int]]) -> e.Expression:
    """The number of the greatest item, by knock-out: naming each rival in each branch would take k^2 expressions."""
    if len(items) == 1:
        return e.integer(items[0][1])
    left, right = items[: len(items) // 2], items[len(items) // 2 :]
    first, second = (e.greatest([e.again(item) for item, _ in half]) for half in (left, right))
    return e.case([e.when(e.at_least(first, second), _winner(left))], _winner(right))


@dataclass(frozen=True)
class KMeansModel:
    """Trained centroids.

    Args:
        features: names, in order.
        clusters: by label.
        origin: (d,) distances are written about it, so that large means cost no digits.
        distance_measure: ``euclidean`` or ``cosine``.
        prediction_col: name of the predicted column.
        ties: where a row goes that is as near to two: to the first by ``coordinates``, or by ``label`` as in MLlib.
    """

    model_type: ClassVar[str] = "kmeans"
    family: ClassVar[Family] = "clustering"

    features: tuple[str, ...]
    clusters: tuple[Cluster, ...]
    origin: FloatArray
    distance_measure: str = "euclidean"
    prediction_col: str = "prediction"
    ties: Ties = "coordinates"

    @property
    def outputs(self) -> Mapping[str, OutputKind]:
        """The cluster's number."""
        return {self.prediction_col: "INTEGER"}

    def predict(self, features: Sequence[e.Expression]) -> Mapping[str, e.Expression]:
        """The label of the nearest centroid."""
        geometry = geometry_of(self.distance_measure)
        place = geometry.place(features, self.origin)
        near = [geometry.affinity(place, c.centroid, self.origin) for c in self.clusters]
        if self.ties == "label":
            return {self.prediction_col: _winner([(item, label) for label, item in enumerate(near)])}
        return {self.prediction_col: greatest_of(near, [c.centroid for c in self.clusters])}

    def described(self) -> Iterator[tuple[str, str]]:
        """Each cluster's size and centroid."""
        return described(self.clusters)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {
            "features": list(self.features),
            "clusters": [c.to_json() for c in self.clusters],
            "origin": [float(x) for x in self.origin],
            "distance_measure": self.distance_measure,
            "prediction_col": self.prediction_col,
            "ties": self.ties,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> KMeansModel:
        """Read a model back.

        Raises:
            ArtifactError: a field is missing or wrong.
        """
        try:
            features = tuple(str(f) for f in data["features"])
            clusters = tuple(cluster_from_json(c, len(features)) for c in data["clusters"])
            origin = np.array([float(x) for x in data["origin"]])
            measure = geometry_of(data["distance_measure"]).name
            ties: Ties = converted(data.get("ties", "coordinates"), Ties)  # type: ignore[arg-type]  # a special form
            model = cls(features, clusters, origin, measure, str(data["prediction_col"]), ties)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"kmeans model: {error!r} is missing or wrong") from error
        if len(origin) != len(features) or not np.all(np.isfinite(origin)) or not clusters:
            raise ArtifactError("kmeans model: need an origin of finite numbers, one for each feature, and clusters")
        return model
