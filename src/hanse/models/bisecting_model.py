"""A trained bisecting k-means: a tree of planes, as plain data and as SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hanse import expressions as e
from hanse.errors import ArtifactError
from hanse.estimator import Family, OutputKind
from hanse.models.clusters import Cluster, cluster_from_json, described
from hanse.models.geometry import Geometry, geometry_of
from hanse.models.tree import Tree, side_of
from hanse.statistics import FloatArray
from hanse.types import JsonValue

__all__ = ["BisectingModel", "Splits", "splits_of"]

Splits = int | tuple[FloatArray, float, "Splits", "Splits"]
"""A label, or a plane (normal, offset along it) with what lies on either side."""


def splits_of(tree: Tree, node: int, label: Mapping[int, int], geometry: Geometry) -> Splits:
    """The planes of a finished tree below ``node``, about the origin."""
    here = tree[node]
    if here.sides is None or here.pair is None:
        return label[node]
    normal, offset = geometry.planes(here.pair)
    first, second = (splits_of(tree, side, label, geometry) for side in here.sides)
    return normal, float(offset), first, second


@dataclass(frozen=True)
class BisectingModel:
    """A trained tree of splits.

    Args:
        features: names, in order.
        clusters: by label.
        splits: the tree: planes about the origin, labels at its leaves.
        origin: (d,) in feature units; rows are placed about it, so that large means cost no digits.
        distance_measure: ``euclidean`` or ``cosine``.
        prediction_col: name of the predicted column.
    """

    model_type: ClassVar[str] = "bisecting_kmeans"
    family: ClassVar[Family] = "clustering"

    features: tuple[str, ...]
    clusters: tuple[Cluster, ...]
    splits: Splits
    origin: FloatArray
    distance_measure: str = "euclidean"
    prediction_col: str = "prediction"

    @property
    def outputs(self) -> Mapping[str, OutputKind]:
        """The cluster's number."""
        return {self.prediction_col: "INTEGER"}

    def predict(self, features: Sequence[e.Expression]) -> Mapping[str, e.Expression]:
        """The label of a row: where it falls in the tree of splits."""
        place = geometry_of(self.distance_measure).place(features, self.origin)
        return {self.prediction_col: _label(self.splits, place)}

    def described(self) -> Iterator[tuple[str, str]]:
        """Each cluster's size and centroid."""
        return described(self.clusters)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {
            "features": list(self.features),
            "clusters": [c.to_json() for c in self.clusters],
            "splits": _splits_to_json(self.splits),
            "origin": [float(x) for x in self.origin],
            "distance_measure": self.distance_measure,
            "prediction_col": self.prediction_col,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BisectingModel:
        """Read a model back.

        Raises:
            ArtifactError: a field is missing or wrong.
        """
        if "origin" not in data:
            raise ArtifactError("bisecting_kmeans model: it has no origin, as those of an older Hanse: train it again")
        try:
            features = tuple(str(f) for f in data["features"])
            clusters = tuple(cluster_from_json(c, len(features)) for c in data["clusters"])
            splits = _splits_from_json(data["splits"], len(features), len(clusters))
            origin = _finite(data["origin"], len(features))
            measure = geometry_of(data["distance_measure"]).name
            return cls(features, clusters, splits, origin, measure, str(data["prediction_col"]))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ArtifactError(f"bisecting_kmeans model: {error!r} is missing or wrong") from error


def _label(splits: Splits, place: Sequence[e.Expression]) -> e.Expression:
    if isinstance(splits, int):
        return e.integer(splits)
    normal, offset, first, second = splits
    return e.case([e.when(side_of(normal, offset, place), _label(first, place))], _label(second, place))


def _splits_to_json(splits: Splits) -> JsonValue:
    if isinstance(splits, int):
        return splits
    normal, offset, first, second = splits
    return {
        "normal": [float(x) for x in normal],
        "offset": offset,
        "sides": [_splits_to_json(first), _splits_to_json(second)],
    }


def _splits_from_json(data: Any, features: int, clusters: int) -> Splits:
    if isinstance(data, int) and not isinstance(data, bool):
        if not 0 <= data < clusters:
            raise ValueError(f"label {data} of {clusters} clusters")
        return data
    normal, (offset,) = _finite(data["normal"], features), _finite([data["offset"]], 1)
    first, second = (_splits_from_json(side, features, clusters) for side in data["sides"])
    return normal, float(offset), first, second


def _finite(numbers: Sequence[Any], size: int) -> FloatArray:
    found = np.array([float(x) for x in numbers])
    if len(found) != size or not np.all(np.isfinite(found)):
        raise ValueError(f"{numbers!r:.60}: need {size} finite numbers")
    return found
