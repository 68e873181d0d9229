"""Whether what a silo sent can be right; every error names the silo, the field and the value."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from hanse.errors import ShapeError
from hanse.estimator import Observation
from hanse.messages import Reply
from hanse.statistics import FloatArray, Statistics

__all__ = [
    "adds_up",
    "checked",
    "clusters_of",
    "columns_of",
    "counted",
    "in_range",
    "misfits",
    "not_far",
    "part_of",
    "policy_of",
    "spread_of",
    "statistics_from",
]

_MOST_ROWS: Final = 1e15
"""More than any silo has; beyond that, a float no longer tells a row from the next."""

_FARTHEST: Final = 1e50
"""Means and coefficients go down again, as an origin or a scale, and silos square what they lead to."""

_LARGEST: Final = 1e130
"""Above any sum of squares of :data:`_MOST_ROWS` rows as far away; and the square of it is still a float."""

_SQUARES: Final = ("square", "inertia", "loss")
_PRODUCTS: Final = ("cross", "hessian")
"""Sums over rows of what is never negative; and of outer products, as the upper triangle."""

_TOLERANCE: Final = 1e-6  # of the sums of squares: sums are taken in another order than the ones they are compared with
_TINY: Final = 1e-300  # squares of smaller numbers than a float can hold


def checked(silo: str, name: str, value: Any, shape: tuple[int, ...] | None) -> FloatArray:
    """A nested list as an array of a given shape, all finite.

    Raises:
        ShapeError: it is not.
    """
    if value is None:
        raise ShapeError(f"silo {silo}: statistic {name} is missing")
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.array(None)
    if array.dtype.kind not in "iuf":
        raise ShapeError(f"silo {silo}: statistic {name} = {_shown(value)} is no array of numbers")
    array = array.astype(np.float64)
    if shape is not None and array.shape != shape:
        raise ShapeError(f"silo {silo}: statistic {name} has shape {array.shape}, need {shape}")
    if not np.all(np.abs(array) <= _LARGEST):  # NaN is not
        in_range(silo, name, array, ~np.isfinite(array), "finite numbers")
        in_range(silo, name, array, np.abs(array) > _LARGEST, f"numbers from {-_LARGEST:g} to {_LARGEST:g}")
    return array


def _shown(value: Any) -> str:
    """The beginning of what stands there; Python writes no whole number of many thousand digits."""
    try:
        return f"{value!r:.60}"
    except ValueError:
        return "a number too long to write"


def clusters_of(silo: str, name: str, value: Any, d: int, most: int | None = None) -> FloatArray:
    """(clusters, d): a row for each of a silo's own clusters, one at the least.

    Raises:
        ShapeError: it is something else.
    """
    array = checked(silo, name, value, None)
    if array.size == 0:
        raise ShapeError(f"silo {silo}: statistic {name} holds no cluster: need one or more")
    if array.ndim != 2 or array.shape[1] != d:
        raise ShapeError(f"silo {silo}: statistic {name} has shape {array.shape}, need (clusters, {d})")
    if most is not None and len(array) > most:
        raise ShapeError(f"silo {silo}: statistic {name} holds {len(array)} clusters: need {most} at most, as asked")
    return array


def not_far(silo: str, name: str, array: FloatArray, count: FloatArray | float = 1.0) -> FloatArray:
    """Means, coefficients, or sums of ``count`` rows: numbers that silos can compute with in the rounds to come.

    Raises:
        ShapeError: they are not.
    """
    wrong = np.abs(array) > _FARTHEST * np.maximum(count, 1.0)
    in_range(silo, name, array, wrong, f"numbers from {-_FARTHEST:g} to {_FARTHEST:g}, for each row")
    return array


def counted(silo: str, name: str, value: Any, shape: tuple[int, ...] | None, least: int = 0) -> FloatArray:
    """Numbers of rows: whole, and ``least`` or more.

    Raises:
        ShapeError: they are not.
    """
    array = checked(silo, name, value, shape)
    in_range(silo, name, array, array < least, f"{least} or more")
    in_range(silo, name, array, array != np.rint(array), "whole numbers of rows")
    in_range(silo, name, array, array > _MOST_ROWS, f"at most {_MOST_ROWS:g} rows")
    return array


def in_range(silo: str, name: str, array: FloatArray, wrong: Any, need: str) -> None:
    """Name the first number that is ``wrong``.

    Raises:
        ShapeError: there is one.
    """
    if np.any(wrong):
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = "".join(f"[{i}]" for i in place)
        raise ShapeError(f"silo {silo}: statistic {name}{where} = {array[place]:.17g}: need {need}")


def part_of(silo: str, count: FloatArray, rows: float, *, whole: bool) -> None:
    """Compare counts of cells that hold no row twice with what the silo said before.

    Args:
        silo: who sent them.
        count: of each cell.
        rows: that the silo has, as it said first in the same run.
        whole: whether the cells hold every row, as local clusters do.

    Raises:
        ShapeError: the counts add up to something else.
    """
    total = float(count.sum())
    if total > rows or (whole and total != rows):
        need = "as many" if whole else "at most as many"
        raise ShapeError(
            f"silo {silo}: statistic count adds up to {total:.17g} rows, and in its moments it was {rows:.17g}: "
            f"need {need}"
        )


def spread_of(silo: str, name: str, count: FloatArray, sums: FloatArray, squares: FloatArray) -> FloatArray:
    """What sums of squares leave beside the sums: never negative, by Cauchy's inequality.

    Args:
        silo: who sent them.
        name: of the sums of squares.
        count: (k,) of each cell.
        sums: (k, d) or, summed over features already, (k,) squared lengths of the sums.
        squares: (k, d) or (k,).

    Returns:
        in the shape of ``squares``, sums of squared distances to the cells' means.

    Raises:
        ShapeError: a cell without rows holds something, or squares are smaller than the sums allow.
    """
    n = count if squares.ndim == 1 else count[:, None]
    lengths = sums if sums.ndim == squares.ndim == 1 else sums**2
    empty = np.broadcast_to(n == 0, squares.shape)
    in_range(silo, name, squares, empty & (squares != 0), "0 for a cell without rows")
    spread: FloatArray = squares - lengths / np.maximum(n, 1.0)
    in_range(silo, name, squares, spread < -_TOLERANCE * np.abs(squares), "at least the square of the sum over count")
    return np.maximum(spread, 0.0)


def columns_of(silo: str, reply: Reply) -> dict[str, str]:
    """The types of the columns that a silo publishes, by name.

    Raises:
        ShapeError: its answer does not tell them.
    """
    columns = reply.facts.get("columns")
    if not isinstance(columns, dict) or not all(isinstance(text, str) for item in columns.items() for text in item):
        raise ShapeError(f"silo {silo}: fact columns = {_shown(columns)}: need the type of each column by its name")
    return columns


def policy_of(silo: str, reply: Reply) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a silo tells of its policy, and what its budget has left; both by name.

    Raises:
        ShapeError: its answer does not tell them.
    """
    policy = reply.facts.get("policy")
    left = policy.get("left") if isinstance(policy, dict) else None
    if not isinstance(policy, dict) or not isinstance(left, dict):
        raise ShapeError(f"silo {silo}: fact policy = {_shown(policy)}: need its rules and what is left, by name")
    return {rule: value for rule, value in policy.items() if rule != "left"}, left


def statistics_from(reply: Reply, observation: Observation) -> Statistics:
    """A reply's arrays, checked against what was asked.

    Raises:
        ShapeError: a name, a shape or a number is not what it must be; names silo, field and value.
    """
    statistics: Mapping[str, Any] = reply.statistics
    arrays: dict[str, FloatArray] = {}
    combine = {name: aggregate.combine for name, aggregate in observation.aggregates.items()}
    for name in observation.aggregates:
        check = counted if name == "count" else checked
        arrays[name] = check(reply.silo, name, statistics.get(name), observation.shape(name))
    return Statistics(arrays, combine)


def misfits(parts: Mapping[str, Statistics], observation: Observation) -> dict[str, ShapeError]:
    """The silos whose sums no rows can have, and what is wrong with them.

    Those of all silos are looked at together first, which takes as long as one; only where something is wrong, each.

    Args:
        parts: by silo, of the right shapes.
        observation: that was asked for.
    """
    if len(parts) > 1:
        names = observation.aggregates
        combine = {name: aggregate.combine for name, aggregate in names.items()}
        together = {name: np.stack([part[name] for part in parts.values()]) for name in names}
        with contextlib.suppress(ShapeError):
            adds_up("", Statistics(together, combine), observation)
            return {}
    wrong = {}
    for silo, part in parts.items():
        try:
            adds_up(silo, part, observation)
        except ShapeError as error:
            wrong[silo] = error
    return wrong


def adds_up(silo: str, told: Statistics, observation: Observation) -> None:
    """Whether there can be rows that have these sums.

    Args:
        silo: who sent them.
        told: its statistics, of the right shapes.
        observation: that was asked for.

    Raises:
        ShapeError: there are none; names silo, field and value.
    """
    for name in _SQUARES:
        if name in told:
            in_range(silo, name, told[name], told[name] < 0, "0 or more")
    if "count" not in told:
        return
    count = told["count"]
    if "weight" in told and observation.aggregates["weight"].function == "count":
        in_range(silo, "weight", told["weight"], told["weight"] != count, "its count, for all rows weigh the same")
    if "positive" in told:
        in_range(silo, "positive", told["positive"], told["positive"] > count, "at most its count")
    if not np.all(count):
        for name, array in told.items():
            empty = np.broadcast_to(_beside(count, array) == 0, array.shape)
            in_range(silo, name, array, empty & (array != 0), "0 for a cell without rows")
    for name in _PRODUCTS:
        if name in told:
            _products_of(silo, name, told[name])
    if "sum" in told:
        _sums_of(silo, count, told)


def _beside(count: FloatArray, array: FloatArray) -> FloatArray:
    """The counts of cells, so that each stands beside all that an array holds of its cell."""
    return count.reshape(count.shape + (1,) * (array.ndim - count.ndim))


def _sums_of(silo: str, count: FloatArray, told: Statistics) -> None:
    """By Cauchy's inequality the square of a sum is at most the count times the sum of squares."""
    sums, each = told["sum"], _beside(count, told["sum"])
    not_far(silo, "sum", sums, each)
    least = sums**2 / np.maximum(each, 1.0)
    need = "at least the square of the sum over count"
    if "square" in told:
        square = told["square"]
        in_range(silo, "square", square, _below(square, least if square.ndim == sums.ndim else least.sum(-1)), need)
    if "cross" in told:
        cross = told["cross"]
        rows, columns = _triangle(cross)
        wrong = np.zeros(cross.shape, dtype=bool)
        wrong[..., rows == columns] = _below(cross[..., rows == columns], least)
        in_range(silo, "cross", cross, wrong, need)


def _products_of(silo: str, name: str, array: FloatArray) -> None:
    """No square is negative, and no product larger than the squares allow."""
    rows, columns = _triangle(array)
    squares = array[..., rows == columns]
    wrong = np.broadcast_to(rows == columns, array.shape) & (array < 0)
    in_range(silo, name, array, wrong, "0 or more, for it is a sum of squares")
    wrong = _below(squares[..., rows] * squares[..., columns], array**2)
    in_range(silo, name, array, wrong, "no more than the root of both its sums of squares, multiplied")


def _triangle(array: FloatArray) -> tuple[Any, Any]:
    """Rows and columns of what stands along the last axis: the upper triangle of a matrix."""
    return np.triu_indices(round((np.sqrt(8 * array.shape[-1] + 1) - 1) / 2))


def _below(array: FloatArray, need: FloatArray) -> Any:
    """Where an array is smaller than it must be, and not by rounding."""
    return array * (1 + _TOLERANCE) + _TINY < need
