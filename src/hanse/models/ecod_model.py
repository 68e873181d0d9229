"""Trained distribution functions, feature by feature, as plain data and as SQL."""

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

__all__ = ["Distribution", "EcodModel", "Tail"]


@dataclass(frozen=True)
class Tail:
    """A generalised Pareto distribution of what lies beyond the bins.

    Args:
        start: where it begins, about the feature's mean.
        scale: in feature units.
        shape: 0: the tail falls like an exponential one; up to 0.5: more slowly.
    """

    start: float = 0.0
    scale: float = 1.0
    shape: float = 0.0

    def rarity(self, beyond: e.Expression) -> e.Expression:
        """Minus the logarithm of the share of the tail that is further out than ``beyond``, which is 0 or more."""
        if self.shape == 0:
            return e.divide(beyond, e.number(self.scale))
        inner = e.multiply(beyond, e.number(self.shape / self.scale))
        return e.divide(e.log1p_abs(inner), e.number(self.shape))


@dataclass(frozen=True)
class Distribution:
    """How one feature's values are distributed.

    Args:
        origin: the feature's mean.
        means: (b,) of the rows in each bin, about the origin, ascending; one bin: the feature is constant.
        shares: (b,) of all rows.
        skewness: of all rows.
        lower: the tail below the bins.
        upper: the tail above them; of two bins both tails may begin at the edge between them.
    """

    origin: float
    means: FloatArray
    shares: FloatArray
    skewness: float
    lower: Tail
    upper: Tail

    @property
    def varies(self) -> bool:
        """Whether there is more than one value."""
        return len(self.means) > 1

    def rarities(self, away: e.Expression) -> tuple[e.Expression, e.Expression]:
        """Minus the logarithm of the share of rows at or below a value, and of those at or above it.

        Args:
            away: the value about the origin.
        """
        below = -np.log(np.minimum(np.cumsum(self.shares), 1.0))
        above = -np.log(np.minimum(np.cumsum(self.shares[::-1])[::-1], 1.0))
        left = _line(away, [self.lower.start, *self.means[1:-1], self.means[-1]], [*below[:-1], 0.0])
        right = _line(away, [self.means[0], *self.means[1:-1], self.upper.start], [0.0, *above[1:]])
        is_low, is_high, low, high = self._tails(away)
        return (
            e.case([e.when(is_low, e.add(e.number(below[0]), low))], left),
            e.case([e.when(is_high, e.add(e.number(above[-1]), high))], right),
        )

    def normal_score(self, away: e.Expression) -> e.Expression:
        """How many standard deviations from the mean a normally distributed value that is as rare would be, signed."""
        from scipy.special import ndtri

        scores = ndtri(np.cumsum(self.shares) - self.shares / 2)
        first = scores[0] if self.lower.start == self.means[0] else ndtri(self.shares[0])
        last = scores[-1] if self.upper.start == self.means[-1] else -ndtri(self.shares[-1])
        places, heights = [self.lower.start, *self.means[1:-1], self.upper.start], [first, *scores[1:-1], last]
        if places[0] == places[-1]:  # two bins, both of them tails: nothing lies between
            places, heights = places[:1], heights[:1]
        line = _line(away, places, heights)
        is_low, is_high, low, high = self._tails(away)
        return e.case(
            [
                e.when(is_low, e.negative(_rarer(-float(first), low))),
                e.when(is_high, _rarer(float(last), high)),
            ],
            line,
        )

    def _tails(self, away: e.Expression) -> tuple[e.Expression, e.Expression, e.Expression, e.Expression]:
        """Whether a value lies in the lower and in the upper tail, and how rare it is among those there."""
        low, high = e.number(self.lower.start), e.number(self.upper.start)
        return (
            e.at_least(e.again(low), e.again(away)),
            e.at_least(e.again(away), e.again(high)),
            self.lower.rarity(e.subtract(low, e.again(away))),
            self.upper.rarity(e.subtract(e.again(away), high)),
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {
            "origin": self.origin,
            "means": [float(x) for x in self.means],
            "shares": [float(x) for x in self.shares],
            "skewness": self.skewness,
            "lower": [self.lower.start, self.lower.scale, self.lower.shape],
            "upper": [self.upper.start, self.upper.scale, self.upper.shape],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Distribution:
        """Read a distribution back.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or wrong.
        """
        means, shares = (np.array(data[name], dtype=np.float64) for name in ("means", "shares"))
        lower, upper = (Tail(*(float(x) for x in data[name])) for name in ("lower", "upper"))
        found = cls(float(data["origin"]), means, shares, float(data["skewness"]), lower, upper)
        numbers = [found.origin, found.skewness, *means, *shares, *vars(lower).values(), *vars(upper).values()]
        if means.ndim != 1 or means.shape != shares.shape or len(means) == 0 or not np.all(np.isfinite(numbers)):
            raise ValueError("means and shares: need finite numbers, as many of each")
        knots = [lower.start, *means[1:-1], upper.start]
        if len(means) == 2 and lower.start == upper.start:  # one edge is where both tails begin
            knots = [means[0], lower.start, means[1]]
        if len(means) > 1 and (
            np.any(np.diff(knots) <= 0) or np.any(shares <= 0) or min(lower.scale, upper.scale) <= 0
        ):
            raise ValueError("means: need ascending numbers; shares and scales: need numbers above 0")
        return found


@dataclass(frozen=True)
class EcodModel:
    """Distribution functions of the features, one by one.

    Args:
        features: names, in order.
        distributions: of the features.
        count: rows that it was trained on.
        weight: of these rows.
        prediction_col: name of the predicted column.
    """

    model_type: ClassVar[str] = "ecod"
    family: ClassVar[Family] = "distribution"

    features: tuple[str, ...]
    distributions: tuple[Distribution, ...]
    count: int
    weight: float
    prediction_col: str = "prediction"

    @property
    def outputs(self) -> Mapping[str, OutputKind]:
        """The label, and how anomalous the row is."""
        return {self.prediction_col: "INTEGER", "anomaly_score": "DOUBLE"}

    def predict(self, features: Sequence[e.Expression]) -> Mapping[str, e.Expression]:
        """0 in every row, for there is one group; and how anomalous the row is."""
        return {self.prediction_col: e.integer(0), "anomaly_score": self.scores(features)["anomaly_score"]}

    def scores(self, features: Sequence[e.Expression]) -> Mapping[str, e.Expression]:
        """``distance`` is a length made of rarities; normalised, it is 1 for the root mean square of usual rows.

        Squares of rarities add up over the features: once of how rare a value is among the low ones, once among the
        high ones, once on the side of the feature's longer tail. The largest of the three sums counts. ECOD itself adds
        the rarities; squared, one value that is very rare counts for more than many that are a little rare.
        """
        return self._scores(self._rarest([d.rarities(a) for d, a in self._varied(features)]))

    def layered_scores(
        self, features: Sequence[e.Expression]
    ) -> tuple[tuple[Mapping[str, e.Expression], ...], Mapping[str, e.Expression]]:
        """Layers of intermediate columns, and the scores over them; so that nothing is written twice."""
        rarities: dict[str, e.Expression] = {}
        both: list[tuple[e.Expression, e.Expression]] = []
        for i, (d, away) in enumerate(self._varied(features)):
            names = f"__hanse_low{i}", f"__hanse_high{i}"
            rarities.update(zip(names, d.rarities(away), strict=True))
            both.append((e.column(names[0]), e.column(names[1])))
        layers = (
            (rarities, {"__hanse_distance": self._rarest(both)}) if both else ({"__hanse_distance": e.number(0.0)},)
        )
        return layers, self._scores(e.column("__hanse_distance"))

    def _varied(self, features: Sequence[e.Expression]) -> list[tuple[Distribution, e.Expression]]:
        return [(d, a) for d, a in zip(self.distributions, self._away(features), strict=True) if d.varies]

    def _rarest(self, both: Sequence[tuple[e.Expression, e.Expression]]) -> e.Expression:
        """The root of the largest sum of squares: among low values, among high ones, on the side of the longer tail."""
        skewed = [d.skewness < 0 for d in self.distributions if d.varies]
        left, right = (e.total(e.squared(e.again(tails[side])) for tails in both) for side in (0, 1))
        longer = e.total(
            e.squared(e.again(low if first else high)) for first, (low, high) in zip(skewed, both, strict=True)
        )
        return e.root(e.greatest([left, right, longer]))

    def _scores(self, distance: e.Expression) -> Mapping[str, e.Expression]:
        normalized = e.divide(
            e.again(distance), e.number(math.sqrt(2 * max(sum(d.varies for d in self.distributions), 1)))
        )
        return {
            self.prediction_col: e.integer(0),
            "distance": distance,
            "normalized_distance": normalized,
            "anomaly_score": e.again(normalized),
        }

    def contributions(self, features: Sequence[e.Expression]) -> Mapping[str, e.Expression]:
        """How rare each value is, signed, as the standard deviations of a normally distributed value as rare."""
        return {
            name: d.normal_score(a) if d.varies else e.number(0.0)
            for name, d, a in zip(self.features, self.distributions, self._away(features), strict=True)
        }

    def _away(self, features: Sequence[e.Expression]) -> list[e.Expression]:
        pairs = zip(features, self.distributions, strict=True)
        return [e.subtract(e.again(f), e.number(d.origin)) for f, d in pairs]

    def described(self) -> Iterator[tuple[str, str]]:
        """Each feature's mean and skewness, and where its tails begin."""
        for name, d in zip(self.features, self.distributions, strict=True):
            low, high = (round(d.origin + tail.start, 6) for tail in (d.lower, d.upper))
            tails = f", tails below {low} and above {high}" if d.varies else ""
            yield f"feature {name}", f"mean {round(d.origin, 6)}, skewness {round(d.skewness, 6)}{tails}"

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {
            "features": list(self.features),
            "distributions": [d.to_json() for d in self.distributions],
            "count": self.count,
            "weight": self.weight,
            "prediction_col": self.prediction_col,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EcodModel:
        """Read a model back.

        Raises:
            ArtifactError: a field is missing or wrong.
        """
        try:
            features = tuple(str(f) for f in data["features"])
            distributions = tuple(Distribution.from_json(d) for d in data["distributions"])
            count, weight = int(data["count"]), float(data["weight"])
            model = cls(features, distributions, count, weight, str(data["prediction_col"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"ecod model: {error!r} is missing or wrong") from error
        if len(features) != len(distributions) or not features:
            raise ArtifactError("ecod model: need a distribution for each feature")
        return model


def _rarer(score: float, rarity: e.Expression) -> e.Expression:
    """The normal score of a value beyond one of normal score ``score``, as the tail falls by about ``z^2 / 2``."""
    base = max(score, 0.0)
    inner = e.add(e.number(base * base), e.multiply(rarity, e.number(2.0)))
    return e.add(e.root(inner), e.number(score - base))


def _line(value: e.Expression, places: Sequence[float], heights: Sequence[float]) -> e.Expression:
    """The line through points, looked up by halving; level beyond the outermost."""
    x, y = [float(p) for p in places], [float(h) for h in heights]

    def segment(low: int, high: int) -> e.Expression:
        if low > high:
            return e.number(y[low])
        middle = (low + high + 1) // 2
        above = e.at_least(e.again(value), e.number(x[middle]))
        upper = segment(middle + 1, high) if middle < high else between(middle)
        lower = segment(low, middle - 1) if middle > low else between(middle - 1)
        return e.case([e.when(above, upper)], lower)

    def between(i: int) -> e.Expression:
        """From point ``i`` to the next."""
        if i < 0 or i == len(x) - 1 or y[i] == y[i + 1]:
            return e.number(y[max(i, 0)])
        slope = (y[i + 1] - y[i]) / (x[i + 1] - x[i])
        return e.add(e.number(y[i]), e.multiply(e.subtract(e.again(value), e.number(x[i])), e.number(slope)))

    return segment(0, len(x) - 1)
