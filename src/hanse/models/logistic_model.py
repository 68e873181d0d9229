"""A trained logistic regression: coefficients, as plain data and as SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hanse import expressions as e
from hanse.errors import ArtifactError
from hanse.estimator import Family, OutputKind
from hanse.statistics import FloatArray
from hanse.types import JsonValue

__all__ = ["LogisticModel"]

_ENOUGH = 700.0  # log odds; exp of more overflows, and a probability is 0 or 1 long before

_FIELDS = ("features", "coefficients", "origin", "log_odds", "label", "prediction_col", "probability_col")


@dataclass(frozen=True)
class LogisticModel:
    """Trained coefficients.

    Args:
        features: names, in order.
        coefficients: (d,) log odds for one unit of each feature.
        origin: (d,) what features are taken about, so that large means cost no digits.
        log_odds: of label 1, at the origin.
        label: the column that it predicts; empty where it has no name.
        prediction_col: name of the predicted column.
        probability_col: name of the column with the probability of label 1.
    """

    model_type: ClassVar[str] = "logistic_reg"
    family: ClassVar[Family] = "classification"

    features: tuple[str, ...]
    coefficients: FloatArray
    origin: FloatArray
    log_odds: float
    label: str = ""
    prediction_col: str = "prediction"
    probability_col: str = "probability"

    @property
    def outputs(self) -> Mapping[str, OutputKind]:
        """0 or 1, and the probability of 1."""
        return {self.prediction_col: "INTEGER", self.probability_col: "DOUBLE"}

    @property
    def intercept(self) -> float:
        """Log odds where every feature is 0."""
        return self.log_odds - float(self.coefficients @ self.origin)

    def score(self, features: Sequence[e.Expression]) -> e.Expression:
        """The log odds of label 1."""
        centred = [
            e.again(f) if o == 0 else e.subtract(e.again(f), e.number(o))
            for f, o in zip(features, self.origin.tolist(), strict=True)
        ]
        return e.add(e.dot(self.coefficients.tolist(), centred), e.number(self.log_odds))

    def predict(self, features: Sequence[e.Expression]) -> Mapping[str, e.Expression]:
        """1 where label 1 is likelier than label 0, and its probability."""
        odds = self.score(features)
        label = e.case([e.when(e.at_least(e.number(0.0), odds), e.integer(0))], e.integer(1))
        rest = e.exponential(e.negative(e.clamp(e.again(odds), -_ENOUGH, _ENOUGH)))
        chance = e.divide(e.number(1.0), e.add(e.number(1.0), rest))
        return {self.prediction_col: label, self.probability_col: chance}

    def described(self) -> Iterator[tuple[str, str]]:
        """The intercept and each coefficient, to 10 digits."""
        yield "label", self.label
        yield "intercept", f"{self.intercept:.10g}"
        for name, value in zip(self.features, self.coefficients.tolist(), strict=True):
            yield f"coefficient {name}", f"{value:.10g}"

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {
            "features": list(self.features),
            "coefficients": [float(x) for x in self.coefficients],
            "origin": [float(x) for x in self.origin],
            "log_odds": self.log_odds,
            "label": self.label,
            "prediction_col": self.prediction_col,
            "probability_col": self.probability_col,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LogisticModel:
        """Read a model back, strictly.

        Raises:
            ArtifactError: a field is missing, unknown or wrong.
        """
        if set(data) != set(_FIELDS):
            wrong = sorted(set(data) ^ set(_FIELDS))
            raise ArtifactError(f"logistic_reg model: {', '.join(wrong)} missing or unknown; need {', '.join(_FIELDS)}")
        features = data["features"]
        if not isinstance(features, list) or not features or not all(isinstance(f, str) and f for f in features):
            raise ArtifactError(f"logistic_reg model: features = {features!r:.80}: need a list of names")
        texts = {name: data[name] for name in ("label", "prediction_col", "probability_col")}
        for name, text in texts.items():
            if not isinstance(text, str) or (not text and name != "label"):
                raise ArtifactError(f"logistic_reg model: {name} = {text!r:.80}: need a name")
        if texts["prediction_col"].lower() == texts["probability_col"].lower():
            raise ArtifactError("logistic_reg model: prediction_col and probability_col: need two names")
        coefficients, origin = (_numbers(name, data[name], len(features)) for name in ("coefficients", "origin"))
        (log_odds,) = _numbers("log_odds", [data["log_odds"]], 1)
        return cls(tuple(features), coefficients, origin, float(log_odds), **texts)


def _numbers(name: str, value: Any, size: int) -> FloatArray:
    wrong = ArtifactError(f"logistic_reg model: {name} = {value!r:.80}: need {size} finite numbers")
    if not isinstance(value, list) or len(value) != size:
        raise wrong
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in value):
        raise wrong
    try:
        numbers = np.array([float(x) for x in value])
    except OverflowError:
        raise wrong from None
    if not np.all(np.isfinite(numbers)):
        raise wrong
    return numbers
