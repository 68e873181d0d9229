"""How far a row lies from the mean, in units of the rows' covariance; estimated again without the farthest rows.

Counts, sums and products of features add up over data holders, and so the covariance does. Anomalies widen the very
covariance that they are to be measured by. So the estimate is repeated over the rows that are nearest by the one
before: one scan counts rows in shells of the distance, which tells how far the nearest ones reach, a second one takes
their sums.

Source:
    Mahalanobis (1936), "On the generalised distance in statistics"; Rousseeuw & Van Driessen (1999), "A fast algorithm
    for the minimum covariance determinant estimator", whose concentration step this is; Chen, Wiesel, Eldar & Hero
    (2010), "Shrinkage algorithms for MMSE covariance estimation", for the shrinkage that follows from a covariance and
    a number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from hanse import expressions as e
from hanse.estimator import WEIGHT, Aggregate, CrossProducts, Family, Observation
from hanse.models.mahalanobis_model import MahalanobisModel, triangle_of
from hanse.models.moments import check_counts, covariance_of
from hanse.options import NameBut, OneOf, Range, option
from hanse.statistics import FloatArray, Statistics

__all__ = ["Mahalanobis", "MahalanobisState"]

Phase = Literal["moments", "spread", "shells", "core", "done"]

_SHELLS = 16  # few enough that each may leave a silo
_HALVINGS = (2.0, 1.0, 0.5)  # doublings of the squared distance from one shell to the next, pass by pass
_FLOOR = 1e-6  # of an eigenvalue, in units of the features' variances
_SETTLED = 1e-3  # in the features' standard deviations


@dataclass(frozen=True)
class MahalanobisState:
    """The state that goes down to the data holders each round.

    Args:
        features: the columns of the training relation, in order.
        phase: what is observed next.
        origin: (d,) the overall centre, in feature units; sums are taken about it.
        count: rows.
        weight: of the rows.
        kept: weight of the rows that the estimate comes from.
        scale: (d,) standard deviations of all rows; 0 for a constant feature.
        mean: (d,) the estimate, about the origin.
        covariance: (d, d) the estimate, in feature units squared.
        edges: between shells, squared distances.
        reach: squared distance up to which rows are near.
        passes: estimates without the farthest rows so far.
    """

    features: tuple[str, ...]
    phase: Phase
    origin: FloatArray
    count: float = 0.0
    weight: float = 0.0
    kept: float = 0.0
    scale: FloatArray | None = None
    mean: FloatArray | None = None
    covariance: FloatArray | None = None
    edges: FloatArray | None = None
    reach: float = 0.0
    passes: int = 0


@dataclass(frozen=True)
class Mahalanobis:
    """Distance to the mean in units of the covariance, trained in the database.

    >>> Mahalanobis(trim=0.2).start(["a", "b"]).phase
    'moments'
    """

    model_type: ClassVar[str] = "mahalanobis"
    family: ClassVar[Family] = "distribution"

    trim: float = option(0.1, Range(float, 0, 0.5), "share of the rows, the farthest, that the estimate leaves out")
    max_iter: int = option(10, Range(int, 1), "estimates without the farthest rows, at the most")
    shrinkage: str = option(
        "auto", OneOf("auto", "none"), "towards equal variances without correlation: as few rows need it"
    )
    prediction_col: str = option("prediction", NameBut("anomaly_score"), "name of the predicted column; 0 in every row")
    weight_col: str | None = option(None, None, "column of row weights")

    def start(self, features: Sequence[str], about: FloatArray | None = None) -> MahalanobisState:
        """Nothing is known yet. The first sums are plain ones, whatever ``about`` is."""
        return MahalanobisState(tuple(features), "moments", np.zeros(len(features)))

    def done(self, state: MahalanobisState) -> bool:
        """Whether the estimate is final."""
        return state.phase == "done"

    def progress(self, state: MahalanobisState) -> Mapping[str, float]:
        """The share of the rows that the estimate comes from, and how often it was repeated."""
        return {"kept_share": state.kept / state.weight if state.weight else 1.0, "passes": state.passes}

    def remarks(self, numbers: Mapping[str, float]) -> Iterator[str]:
        """Nothing to warn of."""
        return iter(())

    def observe(self, state: MahalanobisState) -> Observation:
        """The sums that the next estimate needs.

        Returns:
            ``moments``: ``count`` (), ``weight`` (), ``sum`` (d,) about zero. ``spread``: the same about the origin,
            and ``cross`` (d (d + 1) / 2,). ``shells``: ``count`` and ``weight`` by shell. ``core``: as ``spread``, of
            the near rows alone. In feature units and their squares.
        """
        layer = {f"z{i}": e.subtract(e.column(f), e.number(o)) for i, (f, o) in enumerate(self._about(state))}
        z = [e.column(name) for name in layer]
        one = e.number(1.0)
        aggregates = {
            "count": Aggregate((one,), (), "count"),
            "weight": Aggregate((one,), (), "count") if self.weight_col is None else Aggregate((e.column(WEIGHT),)),
        }
        if state.phase == "shells":
            assert state.edges is not None  # laid by the phase before
            layers, distance = self._distance_sq(state, z)
            shell = _shell(distance, state.edges)
            return Observation(aggregates, (layer, *layers), shell, len(state.edges) + 1, whole=True)
        aggregates["sum"] = Aggregate(tuple(self._weighted(e.again(c)) for c in z), (len(z),))
        if state.phase == "moments":
            return Observation(aggregates, (layer,))
        aggregates["cross"] = CrossProducts.of(z, None if self.weight_col is None else e.column(WEIGHT))
        if state.phase == "spread":
            return Observation(aggregates, (layer,))
        layers, distance = self._distance_sq(state, z)
        near = e.case([e.when(e.at_least(e.number(state.reach), distance), e.integer(0))], None)
        return Observation(aggregates, (layer, *layers), near, 1)

    def _about(self, state: MahalanobisState) -> Sequence[tuple[str, float]]:
        return list(zip(state.features, state.origin.tolist(), strict=True))

    def _weighted(self, value: e.Expression) -> e.Expression:
        return value if self.weight_col is None else e.multiply(e.column(WEIGHT), value)

    def _distance_sq(
        self, state: MahalanobisState, z: Sequence[e.Expression]
    ) -> tuple[tuple[Mapping[str, e.Expression], ...], e.Expression]:
        """Layers of intermediate columns and a row's squared distance by the estimate so far."""
        assert state.mean is not None  # estimated by a phase before
        away = [e.subtract(e.again(c), e.number(m)) for c, m in zip(z, state.mean.tolist(), strict=True)]
        centred = {f"c{i}": value for i, value in enumerate(away)}
        columns = [e.column(name) for name in centred]
        rows = triangle_of(self._whitening(state)).tolist()
        whitened = {f"y{i}": e.dot(row, columns) for i, row in enumerate(rows) if any(row)}
        squares = {"away": e.total(e.square(e.column(name)) for name in whitened)}
        return (centred, whitened, squares), e.column("away")

    def advance(self, state: MahalanobisState, total: Statistics) -> MahalanobisState:
        """The next state."""
        match state.phase:
            case "moments":
                count, weight = float(total["count"]), float(total["weight"])
                check_counts(count, weight, 1, self.weight_col)
                origin = total["sum"] / weight
                return replace(state, phase="spread", origin=origin, count=count, weight=weight, kept=weight)
            case "spread":
                return self._first(state, total)
            case "shells":
                return self._reached(state, total["weight"])
            case _:
                return self._again(state, total)

    def _first(self, state: MahalanobisState, total: Statistics) -> MahalanobisState:
        """The estimate over all rows."""
        mean = total["sum"] / state.weight
        covariance = covariance_of(state.weight, total["sum"], total["cross"])
        variance = np.diag(covariance)
        nothing = 1e-24 * (state.origin**2 + mean**2)  # what rounding leaves of a constant feature
        scale = np.where(variance > nothing, np.sqrt(np.maximum(variance, 0.0)), 0.0)
        estimated = replace(state, phase="done", scale=scale, mean=mean, covariance=covariance)
        varied = int((scale > 0).sum())
        if self.trim == 0 or varied == 0:
            return estimated
        return replace(estimated, phase="shells", edges=_edges(varied * 2.0**-4, _HALVINGS[0]))

    def _reached(self, state: MahalanobisState, weight: FloatArray) -> MahalanobisState:
        """How far the near rows reach, read off the shells; in the logarithm, between the edges."""
        assert state.edges is not None  # the shells that were asked for
        upto = np.cumsum(weight)[:-1]
        wanted = (1 - self.trim) * state.weight
        reach = float(np.exp(np.interp(wanted, upto, np.log(state.edges))))
        return replace(state, phase="core", reach=reach)

    def _again(self, state: MahalanobisState, total: Statistics) -> MahalanobisState:
        """The estimate over the near rows; the one before stays where hardly any are left."""
        assert state.mean is not None  # estimated by a phase before
        assert state.covariance is not None
        assert state.scale is not None
        kept, sums, cross = float(total["weight"][0]), total["sum"][0], total["cross"][0]
        if kept < state.weight / 4:
            return replace(state, phase="done")
        mean = sums / kept
        covariance = covariance_of(kept, sums, cross) * _widened(kept / state.weight, int((state.scale > 0).sum()))
        unit = np.where(state.scale > 0, state.scale, 1.0)
        moved = np.abs((mean - state.mean) / unit).max()
        grown = np.abs((covariance - state.covariance) / np.outer(unit, unit)).max()
        passes = state.passes + 1
        done = max(moved, grown) <= _SETTLED or passes >= self.max_iter
        step = _HALVINGS[min(passes, len(_HALVINGS) - 1)]
        return replace(
            state,
            phase="done" if done else "shells",
            mean=mean,
            covariance=covariance,
            kept=kept,
            edges=_edges(state.reach, step),
            passes=passes,
        )

    def _whitening(self, state: MahalanobisState) -> FloatArray:
        """(d, d): row i by the deviations from the mean is what feature i contributes, in standard deviations."""
        assert state.covariance is not None  # estimated by a phase before
        assert state.scale is not None
        held = state.scale > 0
        scale = state.scale[held]
        whole = np.zeros_like(state.covariance)
        if held.any():
            covariance = state.covariance[np.ix_(held, held)] / np.outer(scale, scale)
            if self.shrinkage == "auto":
                covariance = _shrunk(covariance, state.count * state.kept / state.weight)
            whole[np.ix_(held, held)] = _contributions(covariance) / scale
        return whole

    def model(self, state: MahalanobisState) -> MahalanobisModel:
        """The finished model."""
        assert state.mean is not None  # the state is done
        assert state.covariance is not None
        return MahalanobisModel(
            state.features,
            state.origin + state.mean,
            np.sqrt(np.maximum(np.diag(state.covariance), 0.0)),
            self._whitening(state),
            int(state.count),
            state.weight,
            self.prediction_col,
        )


def _edges(around: float, doublings: float) -> FloatArray:
    """Squared distances (s - 1,) between ``s`` shells, by powers of two around one."""
    steps = np.arange(1, _SHELLS) - _SHELLS / 2
    return np.asarray(around * 2.0 ** (doublings * steps))


def _shell(distance: e.Expression, edges: FloatArray) -> e.Expression:
    """The number of the shell that a squared distance is in."""
    beyond = [e.case([e.when(e.at_least(e.again(distance), e.number(x)), e.integer(1))], e.integer(0)) for x in edges]
    return e.total(beyond)


def _widened(share: float, d: int) -> float:
    """What a covariance of the nearest ``share`` of normal rows is to be multiplied by (Croux & Haesbroeck 1999)."""
    from scipy.special import chdtr, chdtri

    if share >= 1:
        return 1.0
    return float(share / chdtr(d + 2, chdtri(d, 1 - share)))


def _shrunk(covariance: FloatArray, rows: float) -> FloatArray:
    """Drawn towards a multiple of the identity, as far as so few rows need it (OAS: Chen et al. 2010, equation 23)."""
    d = len(covariance)
    level = np.trace(covariance) / d
    squares = float((covariance**2).sum())
    above = (rows + 1 - 2 / d) * (squares - d * level**2)
    amount = 1.0 if above <= 0 else min(1.0, ((1 - 2 / d) * squares + (d * level) ** 2) / above)
    if d == 1:
        return covariance
    return np.asarray((1 - amount) * covariance + amount * level * np.eye(d))


def _contributions(covariance: FloatArray) -> FloatArray:
    """(d, d) the corr-max transformation: uncorrelated, of variance 1, each as near to its own feature as can be.

    Directions in which rows do not vary count as if they had a thousandth of the features' standard deviation: a row
    that breaks a rule which all others keep is far away.

    Source:
        Garthwaite & Koch (2016), "Evaluating the contributions of individual variables to a quadratic form".
    """
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, _FLOOR * max(float(values.max()), _FLOOR))
    held = (vectors * values) @ vectors.T
    deviation = np.sqrt(np.diag(held))
    values, vectors = np.linalg.eigh(held / np.outer(deviation, deviation))
    values = np.maximum(values, _FLOOR * _FLOOR)
    return np.asarray((vectors / np.sqrt(values)) @ vectors.T / deviation)
