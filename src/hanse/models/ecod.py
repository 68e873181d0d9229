"""How rare a row's features are, one by one: histograms, whose counts add up, stand for the distribution functions.

A feature's bins are narrowed round by round until each holds about the share of the rows that it should, few in the
tails: no minimum or maximum is asked for. Bins know count, sum and sum of squares, so that the middle, the skewness and
how the tails go on follow from them.

Source:
    Li, Zhao, Hu, Botta, Ionescu & Chen (2022), "ECOD: unsupervised outlier detection using empirical cumulative
    distribution functions".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from hanse import expressions as e
from hanse.estimator import WEIGHT, Aggregate, Family, Observation
from hanse.models.ecod_model import Distribution, EcodModel, Tail
from hanse.models.moments import check_counts
from hanse.options import NameBut, Range, option
from hanse.statistics import FloatArray, Statistics

__all__ = ["Ecod", "EcodState", "Histogram"]

Phase = Literal["moments", "spread", "bins", "done"]

_FEW = 20.0  # rows in the outermost bin, at the least
_MOST = 0.125  # of all rows in the outermost bin
_FOLD = 0.02  # standard deviations around the mean in which first bins are of equal width
_FINE = 0.5  # a bin that holds up to so much more than it should is narrow enough
_ALIKE = 1e-7  # so is one whose rows lie as close together, relative to their distance from the mean


@dataclass(frozen=True)
class Histogram:
    """One feature's bins.

    Args:
        edges: (b - 1,) between them, about the feature's mean.
        count: (b,) rows.
        weight: (b,) of the rows.
        sums: (b,) weighted, about the feature's mean.
        squares: (b,) likewise.
        rounds: how often it was counted.
        settled: whether its bins are final.
    """

    edges: FloatArray
    count: FloatArray
    weight: FloatArray
    sums: FloatArray
    squares: FloatArray
    rounds: int = 0
    settled: bool = False


@dataclass(frozen=True)
class EcodState:
    """The state that goes down to the data holders each round.

    Args:
        features: the columns of the training relation, in order.
        phase: what is observed next.
        origin: (d,) the features' means.
        count: rows.
        weight: of the rows.
        deviation: (d,) standard deviations; 0 for a constant feature.
        at: the feature that is counted next.
        histograms: of the features.
    """

    features: tuple[str, ...]
    phase: Phase
    origin: FloatArray
    count: float = 0.0
    weight: float = 0.0
    deviation: FloatArray | None = None
    at: int = 0
    histograms: tuple[Histogram, ...] = ()


@dataclass(frozen=True)
class Ecod:
    """Rarity by empirical distribution functions, trained in the database.

    >>> Ecod(num_bins=16).start(["a", "b"]).phase
    'moments'
    """

    model_type: ClassVar[str] = "ecod"
    family: ClassVar[Family] = "distribution"

    num_bins: int = option(32, Range(int, 4, 1024), "bins of each feature's histogram, at the most")
    max_iter: int = option(8, Range(int, 1), "times that a feature's bins are narrowed, at the most")
    prediction_col: str = option("prediction", NameBut("anomaly_score"), "name of the predicted column; 0 in every row")
    weight_col: str | None = option(None, None, "column of row weights")

    def start(self, features: Sequence[str], about: FloatArray | None = None) -> EcodState:
        """Nothing is known yet. The first sums are plain ones, whatever ``about`` is."""
        return EcodState(tuple(features), "moments", np.zeros(len(features)))

    def done(self, state: EcodState) -> bool:
        """Whether all bins are final."""
        return state.phase == "done"

    def progress(self, state: EcodState) -> Mapping[str, float]:
        """Features whose bins are final, and how many bins hold rows."""
        held = [int((h.weight > 0).sum()) for h in state.histograms]
        return {"settled": sum(h.settled for h in state.histograms), "bins": sum(held)}

    def remarks(self, numbers: Mapping[str, float]) -> Iterator[str]:
        """Nothing to warn of."""
        return iter(())

    def observe(self, state: EcodState) -> Observation:
        """The sums that come next.

        Returns:
            ``moments``: ``count`` (), ``weight`` (), ``sum`` (d,) about zero. ``spread``: the same about the means, and
            ``square`` (d,). ``bins``: ``count``, ``weight``, ``sum`` and ``square`` of one feature, by bin. In feature
            units and their squares.
        """
        one = e.number(1.0)
        aggregates = {
            "count": Aggregate((one,), (), "count"),
            "weight": Aggregate((one,), (), "count") if self.weight_col is None else Aggregate((e.column(WEIGHT),)),
        }
        which = range(len(state.features)) if state.phase != "bins" else [state.at]
        layer = {f"z{i}": e.subtract(e.column(state.features[i]), e.number(float(state.origin[i]))) for i in which}
        z = [e.column(name) for name in layer]
        shape = () if state.phase == "bins" else (len(z),)
        aggregates["sum"] = Aggregate(tuple(self._weighted(e.again(c)) for c in z), shape)
        if state.phase == "moments":
            return Observation(aggregates, (layer,))
        aggregates["square"] = Aggregate(tuple(self._weighted(e.square(c)) for c in z), shape)
        if state.phase == "spread":
            return Observation(aggregates, (layer,))
        edges = state.histograms[state.at].edges
        return Observation(aggregates, (layer,), _bin(z[0], edges.tolist(), 0), len(edges) + 1, whole=True)

    def _weighted(self, value: e.Expression) -> e.Expression:
        return value if self.weight_col is None else e.multiply(e.column(WEIGHT), value)

    def advance(self, state: EcodState, total: Statistics) -> EcodState:
        """The next state."""
        if state.phase == "moments":
            count, weight = float(total["count"]), float(total["weight"])
            check_counts(count, weight, 1, self.weight_col)
            return replace(state, phase="spread", origin=total["sum"] / weight, count=count, weight=weight)
        if state.phase == "spread":
            return self._first(state, total)
        counted = self._counted(state, total)
        histograms = (*state.histograms[: state.at], counted, *state.histograms[state.at + 1 :])
        return _next(replace(state, histograms=histograms))

    def _first(self, state: EcodState, total: Statistics) -> EcodState:
        """First bins: of equal width in ``asinh``, so that the middle is told apart and no tail is too long."""
        mean = total["sum"] / state.weight
        variance = total["square"] / state.weight - mean**2
        varies = variance > 1e-24 * (state.origin**2 + mean**2)  # more than what rounding leaves of a constant
        deviation = np.where(varies, np.sqrt(np.maximum(variance, 0.0)), 0.0)
        reach = np.arcsinh(np.sqrt(state.count) / _FOLD)  # no row is further away than that
        steps = np.linspace(-reach, reach, self.num_bins + 1)[1:-1]
        nothing = np.zeros(0)
        histograms = tuple(
            Histogram(_FOLD * float(d) * np.sinh(steps), nothing, nothing, nothing, nothing, settled=bool(d == 0))
            for d in deviation
        )
        return _next(replace(state, phase="bins", deviation=deviation, at=-1, histograms=histograms))

    def _counted(self, state: EcodState, total: Statistics) -> Histogram:
        """The feature's bins with what they hold; or narrower ones, to be counted again."""
        now = state.histograms[state.at]
        count, weight, sums, squares = (total[name] for name in ("count", "weight", "sum", "square"))
        here = replace(now, count=count, weight=weight, sums=sums, squares=squares, rounds=now.rounds + 1)
        wanted = self._shares(state.count)
        if here.rounds > self.max_iter or _fine(here, wanted, state.count):
            return replace(here, settled=True)
        return replace(here, edges=_placed(here, wanted))

    def _shares(self, count: float) -> FloatArray:
        """(b - 1,) the share of the rows that is to lie below each edge, in even ratios towards the tails."""
        below = np.geomspace(min(_FEW / count, _MOST), 0.5, self.num_bins // 2)
        return np.concatenate([below, 1 - below[-2::-1]])

    def flattened(self, state: EcodState) -> tuple[str, ...]:
        """Features that vary, though their rows came in one bin: silos may count the rows of bins together."""
        return tuple(
            name
            for name, h in zip(state.features, state.histograms, strict=True)
            if len(h.weight) and len(_ascending(h).weight) < 2
        )

    def model(self, state: EcodState) -> EcodModel:
        """The finished model."""
        distributions = tuple(_distribution(h, float(o)) for h, o in zip(state.histograms, state.origin, strict=True))
        return EcodModel(state.features, distributions, int(state.count), state.weight, self.prediction_col)


def _next(state: EcodState) -> EcodState:
    """On to the first feature whose bins are not final."""
    open_ = [i for i, h in enumerate(state.histograms) if not h.settled]
    return replace(state, at=open_[0]) if open_ else replace(state, phase="done")


def _bin(value: e.Expression, edges: Sequence[float], first: int) -> e.Expression:
    """The number of the bin that a value is in, by halving."""
    if not edges:
        return e.integer(first)
    middle = len(edges) // 2
    above = e.at_least(e.again(value), e.number(edges[middle]))
    return e.case(
        [e.when(above, _bin(value, edges[middle + 1 :], first + middle + 1))], _bin(value, edges[:middle], first)
    )


def _moments(histogram: Histogram) -> tuple[FloatArray, FloatArray]:
    """(b,) means about the feature's mean and variances of the rows in each bin; 0 for a bin without rows."""
    safe = np.where(histogram.weight > 0, histogram.weight, 1.0)
    means = histogram.sums / safe
    variances = np.maximum(histogram.squares / safe - means**2, 0.0)
    return means, np.where(variances > (_ALIKE * means) ** 2, variances, 0.0)


def _fine(histogram: Histogram, wanted: FloatArray, count: float) -> bool:
    """Whether each bin holds about as much as it should at the most, or rows that are alike."""
    shares = histogram.weight / histogram.weight.sum()
    upto = np.cumsum(shares)
    middle = upto - shares / 2
    place = np.searchsorted(wanted, middle)
    should = np.diff(np.concatenate([[0.0], wanted, [1.0]]))[place]
    _, variances = _moments(histogram)
    return bool(np.all((shares <= (1 + _FINE) * should + 2 / count) | (variances == 0)))


def _placed(histogram: Histogram, wanted: FloatArray) -> FloatArray:
    """New edges, where the wanted shares lie if rows are spread evenly about their bin's mean."""
    means, variances = _moments(histogram)
    held = np.flatnonzero(histogram.weight > 0)
    low = np.concatenate([[-np.inf], histogram.edges])[held]
    high = np.concatenate([histogram.edges, [np.inf]])[held]
    width = np.where(np.isfinite(high - low), high - low, 0.0)
    reach = np.maximum(3 * np.sqrt(variances[held]), 0.05 * width)
    low, high = np.maximum(low, means[held] - reach), np.minimum(high, means[held] + reach)
    upto = np.cumsum(histogram.weight[held]) / histogram.weight.sum()
    shares = np.column_stack([np.concatenate([[0.0], upto[:-1]]), upto]).ravel()
    places = np.column_stack([low, high]).ravel()
    return np.unique(np.interp(wanted, shares, places))


def _ascending(histogram: Histogram) -> Histogram:
    """The bins that hold rows; neighbours whose means do not ascend are taken as one.

    Within one place they always do. A silo counts the rows of a bin that may not leave among those of another.
    """
    table = np.column_stack([histogram.count, histogram.weight, histogram.sums, histogram.squares])
    bins: list[FloatArray] = []
    edges: list[float] = []  # edges[i] is the lower one of bins[i]
    lower = np.concatenate([[-np.inf], histogram.edges])
    for row, edge in zip(table[histogram.weight > 0], lower[histogram.weight > 0].tolist(), strict=True):
        bins.append(row)
        edges.append(edge)
        while len(bins) > 1 and bins[-2][2] / bins[-2][1] >= bins[-1][2] / bins[-1][1]:
            bins[-2:] = [bins[-2] + bins[-1]]
            del edges[-1]
    count, weight, sums, squares = np.array(bins).reshape(-1, 4).T
    return replace(histogram, edges=np.array(edges[1:]), count=count, weight=weight, sums=sums, squares=squares)


def _distribution(histogram: Histogram, origin: float) -> Distribution:
    """What is kept of a feature: its bins that hold rows, and how the tails go on beyond them."""
    ordered = _ascending(histogram)
    if len(ordered.weight) < 2:
        return Distribution(origin, np.zeros(1), np.ones(1), 0.0, Tail(), Tail())
    means, variances = _moments(ordered)
    shares = ordered.weight / ordered.weight.sum()
    third = float((shares * (means**3 + 3 * means * variances)).sum())
    second = float((shares * (means**2 + variances)).sum())
    lower_edge, upper_edge = ordered.edges[0], ordered.edges[-1]
    lower = _tail(-means[0], -means[1], float(variances[0]), -float(lower_edge))
    upper = _tail(means[-1], means[-2], float(variances[-1]), float(upper_edge))
    return Distribution(origin, means, shares, third / second**1.5, replace(lower, start=-lower.start), upper)


def _tail(mean: float, before: float, variance: float, edge: float) -> Tail:
    """A generalised Pareto distribution by the moments of the outermost bin (Hosking & Wallis 1987).

    Args:
        mean: of the bin.
        before: mean of the bin before it.
        variance: of the bin.
        edge: where the bin begins.
    """
    gap = float(mean - before)
    if edge - before <= 1e-6 * gap:  # the rows of the bin before lie at the very edge
        edge = before + gap / 2
    excess = float(mean - edge)
    if variance <= 0 or excess <= 0:  # rows that are alike do not say how the tail goes on
        return Tail(float(mean), gap, 0.0)
    shape = max(0.0, (1 - excess**2 / variance) / 2)
    return Tail(float(edge), excess * (1 - shape), float(shape))
