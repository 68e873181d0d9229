"""Named float64 arrays that add: all that ever leaves a data holder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hanse.errors import ShapeError

__all__ = ["BoolArray", "Combine", "FloatArray", "Statistics"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

Combine = Literal["sum", "min", "max"]
"""How one array joins the same array of another data holder."""

_IDENTITY: dict[Combine, float] = {"sum": 0.0, "min": np.inf, "max": -np.inf}


class Statistics(Mapping[str, FloatArray]):
    """What one data holder computed, or several together.

    ``a + b`` combines two holders' statistics array by array, by sum, minimum or maximum; an array filled with the
    identity of its way of combining (0, inf, -inf) stands for a holder without rows.

    Args:
        arrays: the arrays by name, of any shape, in the units that the observation names.
        combine: for each name how it combines; names left out are sums.

    Raises:
        ShapeError: on ``+`` when names, shapes or ways of combining differ.

    >>> a = Statistics({"count": [2.0], "low": [1.0]}, {"low": "min"})
    >>> b = Statistics({"count": [3.0], "low": [0.5]}, {"low": "min"})
    >>> total = a + b
    >>> total["count"].tolist(), total["low"].tolist()
    ([5.0], [0.5])
    """

    __slots__ = ("_arrays", "_combine")

    def __init__(self, arrays: Mapping[str, npt.ArrayLike], combine: Mapping[str, Combine] | None = None) -> None:
        self._arrays: dict[str, FloatArray] = {k: np.asarray(v, dtype=np.float64) for k, v in arrays.items()}
        given = combine or {}
        self._combine: dict[str, Combine] = {k: given.get(k, "sum") for k in self._arrays}

    @property
    def combine(self) -> Mapping[str, Combine]:
        """For each name, how it combines."""
        return self._combine

    def __getitem__(self, name: str) -> FloatArray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"Statistics({', '.join(f'{k}{list(v.shape)}' for k, v in self._arrays.items())})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Statistics)
            and self._combine == other._combine
            and all(np.array_equal(v, other[k], equal_nan=True) for k, v in self._arrays.items())
        )

    __hash__ = None  # type: ignore[assignment]  # arrays are mutable

    def __add__(self, other: Statistics) -> Statistics:
        if self._combine != other._combine:
            raise ShapeError(f"statistics {sorted(self)} cannot be added to {sorted(other)}: names must be the same")
        joined: dict[str, FloatArray] = {}
        for name, mine in self._arrays.items():
            theirs = other[name]
            if mine.shape != theirs.shape:
                raise ShapeError(f"statistic {name} has shapes {mine.shape} and {theirs.shape}: they must be the same")
            joined[name] = _JOIN[self._combine[name]](mine, theirs)
        return Statistics(joined, self._combine)

    def zero(self) -> Statistics:
        """The identity: statistics of a holder without rows."""
        return Statistics(
            {k: np.full(v.shape, _IDENTITY[self._combine[k]]) for k, v in self._arrays.items()}, self._combine
        )


_JOIN: dict[Combine, Any] = {"sum": np.add, "min": np.minimum, "max": np.maximum}
