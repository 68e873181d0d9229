"""Logistic regression by Newton's method: loss, gradient and Hessian are sums over rows.

Source:
    McCullagh & Nelder (1989), "Generalized Linear Models"; Armijo (1966) for the step's length; that the maximum
    likelihood estimate need not exist: Albert & Anderson (1984), "On the existence of maximum likelihood estimates in
    logistic regression models".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from hanse import expressions as e
from hanse.errors import BindError, DataError
from hanse.estimator import TARGET, WEIGHT, Aggregate, CrossProducts, Family, Observation
from hanse.models.logistic_model import LogisticModel
from hanse.options import Flag, Only, Range, option
from hanse.statistics import BoolArray, FloatArray, Statistics

__all__ = ["LogisticRegression", "LogisticState"]

Phase = Literal["moments", "step", "done"]

_CONSTANT = 1e-14  # of the mean: what a deviation must exceed, or the feature is one value and rounding
_SINGULAR = 1e-12  # of the largest eigenvalue: directions that no row tells apart get no step
_CONVERGED = 1e-16  # of the mean loss, that a whole step would still win: the step after it is below rounding
_ARMIJO = 1e-4
_HALVINGS = 40
_ROUNDING = 1e-12  # of the objective; what a sum may be off
_SEPARATED = 1e-6  # mean loss at which separated labels are told apart well enough
_GROWING = 1e-3  # of a coefficient, and in log odds for a deviation: a last step of that size would go on for ever


@dataclass(frozen=True)
class LogisticState:
    """The state that goes down to the data holders each round.

    Coefficients are (d + 1,): the log odds at ``origin`` first, then one for each feature, in its own units.

    Args:
        features: the columns of the training relation, in order.
        phase: what is observed next.
        origin: (d,) the overall centre, in feature units; features are taken about it.
        tried: (d + 1,) coefficients that are observed next.
        accepted: (d + 1,) the best ones so far; ``objective`` is theirs.
        slope: what the objective falls by along the whole step, to first order.
        deviation: (d,) of each feature; 0 for one that is the same in every row, which gets no coefficient.
        rank: directions in which rows differed so far; in fewer, where all that differ have certain labels.
        objective: mean loss and penalty at ``accepted``.
        loss: mean loss at ``accepted``.
        count: rows.
        steps: that were accepted.
        halvings: of the step that is tried.
        converged: whether the last step won nothing.
        growing: whether coefficients still grew then, as those of separated labels do.
    """

    features: tuple[str, ...]
    phase: Phase
    origin: FloatArray
    tried: FloatArray
    accepted: FloatArray
    slope: float = 0.0
    deviation: FloatArray | None = None
    rank: int = 0
    objective: float | None = None
    loss: float = math.log(2.0)
    count: float = 0.0
    steps: int = 0
    halvings: int = 0
    converged: bool = False
    growing: bool = False


@dataclass(frozen=True)
class LogisticRegression:
    """Logistic regression for labels 0 and 1, trained in the database.

    >>> LogisticRegression(label="churned").start(["a", "b"]).phase
    'moments'
    """

    model_type: ClassVar[str] = "logistic_reg"
    family: ClassVar[Family] = "classification"

    label: str | None = option(None, None, "column to predict: 0 and 1, or truth values; must be given")
    max_iter: int = option(100, Range(int, 1), "Newton steps, at the most")
    reg_param: float = option(0.0, Range(float, 0), "strength of the L2 penalty")
    elasticnetparam: float = option(0.0, Only(0.0, "an L1 penalty is not there yet"), "share of an L1 penalty: 0 only")
    standardization: bool = option(False, Flag(), "penalise the coefficients of standardised features, as Spark does")
    prediction_col: str = option("prediction", None, "name of the predicted column")
    probability_col: str = option("probability", None, "name of the column with the probability of label 1")
    weight_col: str | None = option(None, None, "column of row weights")

    def __post_init__(self) -> None:
        if self.prediction_col.lower() == self.probability_col.lower():
            what = f"PREDICTION_COL and PROBABILITY_COL are both called {self.prediction_col}"
            raise BindError(what, "give them two names")

    def start(self, features: Sequence[str], about: FloatArray | None = None) -> LogisticState:
        """Nothing is known yet: even odds for every row. The first sums are plain ones, whatever ``about`` is."""
        d = len(features)
        return LogisticState(tuple(features), "moments", np.zeros(d), np.zeros(d + 1), np.zeros(d + 1))

    def done(self, state: LogisticState) -> bool:
        """Whether the coefficients are final."""
        return state.phase == "done"

    def progress(self, state: LogisticState) -> Mapping[str, float]:
        """Mean loss and steps so far; at the end whether they converged, and whether the labels are separated."""
        numbers = {"loss": state.loss, "steps": float(state.steps)}
        if state.phase == "done":
            separated = self._tells_all(state) or state.growing
            numbers |= {"converged": float(state.converged), "separated": float(separated and self.reg_param == 0)}
        return numbers

    def remarks(self, numbers: Mapping[str, float]) -> Iterator[str]:
        """Labels that are separated, and steps that did not suffice."""
        if numbers["separated"]:
            yield (
                f"the features tell the labels apart (nearly) without error, down to a loss of {numbers['loss']:.1g} a "
                "row: their coefficients have no finite optimum and were stopped where they are; set REG_PARAM, or "
                "leave out the feature that the label is made of"
            )
        elif not numbers["converged"]:
            yield f"MAX_ITER = {self.max_iter} steps did not suffice to converge: raise it"

    def _tells_all(self, state: LogisticState) -> bool:
        """Whether every row has its likelier label: a row that had not would cost log 2 alone."""
        return state.loss * state.count < math.log(2.0)

    # -- what data holders compute ------------------------------------------------------------

    def observe(self, state: LogisticState) -> Observation:
        """The sums that the next step needs.

        Returns:
            ``moments``: ``count`` (), ``weight`` (), ``positive`` () rows of label 1, ``sum`` (d,) in feature units.
            ``step``: ``count``, ``weight``, ``loss`` (), ``gradient`` (d + 1,) and ``hessian`` ((d + 1)(d + 2) / 2,),
            the upper triangle, of the log odds at ``tried`` by the coefficients: of a one, then of each feature about
            ``origin``.
        """
        one = e.number(1.0)
        aggregates = {
            "count": Aggregate((one,), (), "count"),
            "weight": Aggregate((one,), (), "count") if self.weight_col is None else Aggregate((e.column(WEIGHT),)),
        }
        d = len(state.features)
        if state.phase == "moments":
            aggregates["positive"] = Aggregate((e.column(TARGET),))
            aggregates["sum"] = Aggregate(tuple(self._weighted(e.column(f)) for f in state.features), (d,))
            return Observation(aggregates)
        z = [e.column(f"z{j}") for j in range(d)]
        parts: list[e.Expression | None] = [None, *z]
        gradient = [self._weighted(_times(e.column("residual"), part)) for part in parts]
        aggregates["loss"] = Aggregate((self._weighted(e.column("row_loss")),))
        aggregates["gradient"] = Aggregate(tuple(gradient), (d + 1,))
        aggregates["hessian"] = CrossProducts.of([e.number(1.0), *z], self._weighted(e.column("curvature")))
        return Observation(aggregates, _layers(state, z))

    def _weighted(self, value: e.Expression) -> e.Expression:
        return value if self.weight_col is None else e.multiply(value, e.column(WEIGHT))

    # -- what the trainer does with the sums --------------------------------------------------

    def advance(self, state: LogisticState, total: Statistics) -> LogisticState:
        """The next state."""
        return self._centre(state, total) if state.phase == "moments" else self._step(state, total)

    def _centre(self, state: LogisticState, total: Statistics) -> LogisticState:
        count, weight, positive = (float(total[name]) for name in ("count", "weight", "positive"))
        if count == 0:
            raise DataError("the SELECT gives no rows: there is nothing to train on")
        if weight <= 0:
            raise DataError(f"weight column {self.weight_col}: the weights sum to {weight:g}; need more than 0")
        if positive in (0.0, count):
            named = f"LABEL = {self.label!r}: " if self.label else "labels: "
            raise DataError(
                f"{named}all {count:.0f} rows are {int(positive > 0)}: need rows of both labels, 0 and 1, to tell apart"
            )
        return replace(state, phase="step", origin=total["sum"] / weight, count=count)

    def _step(self, state: LogisticState, total: Statistics) -> LogisticState:
        """Judge the coefficients that were tried, and take Newton's step from them or half a step back."""
        weight = float(total["weight"])
        loss = float(total["loss"]) / weight
        gradient = total["gradient"] / weight
        hessian = _symmetric(total["hessian"] / weight)
        if state.deviation is None:
            if not np.all(np.isfinite(hessian)):
                raise DataError("the squares of the features overflow in their sum: scale them in the SELECT")
            state = replace(state, deviation=_deviations(hessian, state.origin))
        penalty = self._penalties(state)
        objective = loss + float(penalty @ state.tried**2) / 2
        if state.objective is not None:
            allowed = state.objective + _ARMIJO * 0.5**state.halvings * state.slope + _ROUNDING * state.objective
            if not (objective <= allowed and np.all(np.isfinite(hessian)) and np.all(np.isfinite(gradient))):
                return self._halved(state)
            state = replace(state, steps=state.steps + 1)
        state = replace(state, accepted=state.tried, objective=objective, loss=loss, halvings=0)
        gradient = gradient + penalty * state.tried
        step, rank = _newton(gradient, hessian + np.diag(penalty), _varying(state))
        slope = float(gradient @ step)
        if -slope <= _CONVERGED * objective:
            growing = rank < state.rank or _growing(step, state)
            done = replace(state, phase="done", accepted=state.accepted + step, converged=True, growing=growing)
            return replace(done, steps=state.steps + 1)
        separated = self.reg_param == 0 and loss < _SEPARATED and self._tells_all(state)
        if separated or state.steps >= self.max_iter:
            return replace(state, phase="done", converged=separated)
        return replace(state, slope=slope, tried=state.accepted + step, rank=max(rank, state.rank))

    def _halved(self, state: LogisticState) -> LogisticState:
        """Half the step; none where not even the smallest one makes the objective smaller, which is rounding."""
        if state.halvings >= _HALVINGS:
            return replace(state, phase="done", converged=True)
        halfway = state.accepted + (state.tried - state.accepted) / 2
        return replace(state, tried=halfway, halvings=state.halvings + 1)

    def _penalties(self, state: LogisticState) -> FloatArray:
        """(d + 1,) what a squared coefficient costs; nothing for the intercept."""
        assert state.deviation is not None  # known at the first step
        own = state.deviation**2 if self.standardization else np.ones(len(state.features))
        return np.concatenate([[0.0], self.reg_param * own])

    # -- the result ---------------------------------------------------------------------------

    def model(self, state: LogisticState) -> LogisticModel:
        """The finished model."""
        return self._model(state.features, state.accepted[1:], state.origin, float(state.accepted[0]))

    def averaged(self, features: Sequence[str], parts: Sequence[tuple[float, FloatArray, float]]) -> LogisticModel:
        """The average of several models, weighted by their rows.

        Args:
            features: names, in order.
            parts: of each model rows, coefficients (d,) and intercept; at least one.
        """
        rows = [count for count, _, _ in parts]
        coefficients = np.average([own for _, own, _ in parts], axis=0, weights=rows)
        intercept = float(np.average([own for _, _, own in parts], weights=rows))
        return self._model(features, coefficients, np.zeros(len(coefficients)), intercept)

    def _model(
        self, features: Sequence[str], coefficients: FloatArray, origin: FloatArray, log_odds: float
    ) -> LogisticModel:
        return LogisticModel(
            tuple(features),
            coefficients,
            origin,
            log_odds,
            self.label or "",
            self.prediction_col,
            self.probability_col,
        )


def _times(a: e.Expression, b: e.Expression | None) -> e.Expression:
    return a if b is None else e.multiply(a, e.again(b))


def _layers(state: LogisticState, z: Sequence[e.Expression]) -> tuple[Mapping[str, e.Expression], ...]:
    """Intermediate columns: features about the origin, log odds, and a row's loss and its two derivatives.

    All of it is written by ``exp(-|odds|)``, which cannot overflow, and by the chance that the row's label had not,
    which keeps its digits next to 0.
    """
    centred = {
        f"z{j}": e.subtract(e.column(f), e.number(o))
        for j, (f, o) in enumerate(zip(state.features, state.origin.tolist(), strict=True))
    }
    odds = e.add(e.dot(state.tried[1:].tolist(), z), e.number(float(state.tried[0])))
    side = e.subtract(e.multiply(e.column(TARGET), e.number(2.0)), e.number(1.0))
    rest, whole, margin = e.column("rest"), e.add(e.number(1.0), e.column("rest")), e.column("margin")
    fits = e.at_least(margin, e.number(0.0))
    missed = e.case([e.when(fits, e.divide(rest, whole))], e.divide(e.number(1.0), e.again(whole)))
    return (
        centred,
        {"odds": odds, "side": side},
        {
            "margin": e.multiply(e.column("side"), e.column("odds")),
            "rest": e.exponential(e.negative(e.absolute(e.column("odds")))),
        },
        {
            "residual": e.negative(e.multiply(e.column("side"), missed)),
            "curvature": e.divide(e.divide(e.again(rest), e.again(whole)), e.again(whole)),
            "row_loss": e.subtract(e.log1p_abs(e.again(rest)), e.least([e.again(margin), e.number(0.0)])),
        },
    )


def _symmetric(triangle: FloatArray) -> FloatArray:
    """(n, n) from the upper triangle."""
    n = math.isqrt(2 * len(triangle))
    whole = np.zeros((n, n))
    whole[np.triu_indices(n)] = triangle
    return np.asarray(whole + np.triu(whole, 1).T)


def _deviations(hessian: FloatArray, origin: FloatArray) -> FloatArray:
    """(d,) of the features, from the Hessian at even odds, which is a quarter of their moments about the origin."""
    moments = hessian * 4.0
    variance = np.maximum(np.diag(moments)[1:] - moments[0, 1:] ** 2, 0.0)
    return np.where(variance > (_CONSTANT * np.abs(origin)) ** 2, np.sqrt(variance), 0.0)


def _varying(state: LogisticState) -> BoolArray:
    """(d + 1,) the intercept, and features that are not the same in every row."""
    assert state.deviation is not None  # known at the first step
    return np.concatenate([[True], state.deviation > 0])


def _growing(step: FloatArray, state: LogisticState) -> bool:
    """Whether a step that wins nothing still moves a coefficient by much."""
    assert state.deviation is not None  # known at the first step
    moved, coefficients = np.abs(step[1:]), np.abs(state.accepted[1:])
    return bool(np.any((moved > _GROWING * coefficients) & (moved * state.deviation > _GROWING)))


def _newton(gradient: FloatArray, hessian: FloatArray, varying: BoolArray) -> tuple[FloatArray, int]:
    """Newton's step (d + 1,), none along directions in which no rows differ (collinear features); and all others."""
    step = np.zeros(len(gradient))
    diagonal = np.diag(hessian)
    free = varying & (diagonal > 0)
    scale = 1.0 / np.sqrt(diagonal[free])
    values, vectors = np.linalg.eigh(hessian[np.ix_(free, free)] * np.outer(scale, scale))
    held = values > _SINGULAR * values.max(initial=0.0)
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=held)
    step[free] = -scale * (vectors @ (inverse * (vectors.T @ (scale * gradient[free]))))
    return step, int(held.sum())
