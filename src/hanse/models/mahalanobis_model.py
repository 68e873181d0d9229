"""A trained Mahalanobis distance: a mean and what each feature contributes, as plain data and as SQL."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hanse import expressions as e
from hanse.errors import ArtifactError
from hanse.estimator import Family, OutputKind
from hanse.statistics import FloatArray
from hanse.types import JsonValue

__all__ = ["MahalanobisModel", "triangle_of"]


def triangle_of(whitening: FloatArray) -> FloatArray:
    """(d, d) a triangle that gives every vector the same length, with half of the terms."""
    return np.asarray(np.linalg.qr(whitening, mode="r"), dtype=np.float64)


@dataclass(frozen=True)
class MahalanobisModel:
    """A mean, and deviations from it told apart by feature.

    Args:
        features: names, in order.
        mean: (d,) in feature units.
        deviation: (d,) standard deviations of the rows that the mean comes from, in feature units.
        whitening: (d, d) times the deviations from the mean gives contributions, whose squares add up to the squared
            distance; rows and columns of constant features are 0.
        count: rows that it was trained on.
        weight: of these rows.
        prediction_col: name of the predicted column.
    """

    model_type: ClassVar[str] = "mahalanobis"
    family: ClassVar[Family] = "distribution"

    features: tuple[str, ...]
    mean: FloatArray
    deviation: FloatArray
    whitening: FloatArray
    count: int
    weight: float
    prediction_col: str = "prediction"

    @property
    def rank(self) -> int:
        """How many features vary."""
        return int(np.any(self.whitening != 0, axis=1).sum())

    @property
    def outputs(self) -> Mapping[str, OutputKind]:
        """The label, and how anomalous the row is."""
        return {self.prediction_col: "INTEGER", "anomaly_score": "DOUBLE"}

    def predict(self, features: Sequence[e.Expression]) -> Mapping[str, e.Expression]:
        """0 in every row, for there is one group; and how anomalous the row is."""
        return {self.prediction_col: e.integer(0), "anomaly_score": self.scores(features)["anomaly_score"]}

    def scores(self, features: Sequence[e.Expression]) -> Mapping[str, e.Expression]:
        """``distance`` is Mahalanobis's; normalised, it is 1 for the root mean square of normally distributed rows."""
        away = self._away(features)
        rows = triangle_of(self.whitening).tolist()
        return self._scores(e.root(e.total(e.squared(e.dot(row, away)) for row in rows if any(row))))

    def layered_scores(
        self, features: Sequence[e.Expression]
    ) -> tuple[tuple[Mapping[str, e.Expression], ...], Mapping[str, e.Expression]]:
        """Layers of intermediate columns, and the scores over them; so that nothing is written twice."""
        distance = self.scores(features)["distance"]
        return ({"__hanse_distance": distance},), self._scores(e.column("__hanse_distance"))

    def _scores(self, distance: e.Expression) -> Mapping[str, e.Expression]:
        normalized = e.divide(e.again(distance), e.number(math.sqrt(max(self.rank, 1))))
        return {
            self.prediction_col: e.integer(0),
            "distance": distance,
            "normalized_distance": normalized,
            "anomaly_score": e.again(normalized),
        }

    def contributions(self, features: Sequence[e.Expression]) -> Mapping[str, e.Expression]:
        """What each feature adds to the distance, signed, in standard deviations; squares add up to its square.

        Without correlation this is how many standard deviations the feature is above its mean.
        """
        away = self._away(features)
        rows = self.whitening.tolist()
        return {name: e.dot(row, away) for name, row in zip(self.features, rows, strict=True)}

    def _away(self, features: Sequence[e.Expression]) -> list[e.Expression]:
        return [e.subtract(e.again(f), e.number(m)) for f, m in zip(features, self.mean.tolist(), strict=True)]

    def described(self) -> Iterator[tuple[str, str]]:
        """Each feature's mean and deviation."""
        for name, mean, deviation in zip(self.features, self.mean.tolist(), self.deviation.tolist(), strict=True):
            yield f"feature {name}", f"mean {round(mean, 6)}, standard deviation {round(deviation, 6)}"

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {
            "features": list(self.features),
            "mean": [float(x) for x in self.mean],
            "deviation": [float(x) for x in self.deviation],
            "whitening": [[float(x) for x in row] for row in self.whitening],
            "count": self.count,
            "weight": self.weight,
            "prediction_col": self.prediction_col,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MahalanobisModel:
        """Read a model back.

        Raises:
            ArtifactError: a field is missing or wrong.
        """
        try:
            features = tuple(str(f) for f in data["features"])
            mean, deviation, whitening = (
                np.array(data[name], dtype=np.float64) for name in ("mean", "deviation", "whitening")
            )
            count, weight = int(data["count"]), float(data["weight"])
            model = cls(features, mean, deviation, whitening, count, weight, str(data["prediction_col"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"mahalanobis model: {error!r} is missing or wrong") from error
        d = len(features)
        arrays = (mean, deviation, whitening)
        fits = [a.shape for a in arrays] == [(d,), (d,), (d, d)] and all(np.all(np.isfinite(a)) for a in arrays)
        if not fits or d == 0:
            raise ArtifactError("mahalanobis model: need a mean, deviations and a square of finite numbers")
        return model
