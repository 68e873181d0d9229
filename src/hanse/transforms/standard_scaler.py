"""standard_scaler(column [, withStd [, withMean]]): divide by the sample standard deviation, subtract the mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hanse import expressions as e
from hanse.estimator import Aggregate, Observation
from hanse.statistics import FloatArray
from hanse.transforms.arguments import flag, floats, need_numbers, parameters
from hanse.transforms.base import Column, Element, Source, StepSpec
from hanse.types import JsonValue

__all__ = ["StandardScaler", "means_of", "spread_of"]


def means_of(columns: Sequence[Column], source: Source) -> tuple[FloatArray, FloatArray]:
    """Mean of each element, NULL left out.

    Returns:
        (d,) rows where the element is a number, and (d,) means in the elements' units; 0 where there is no such row.
    """
    values = [x.expression for c in columns for x in c.elements]
    size = (len(values),)
    known = tuple(e.known(v, e.number(1.0)) for v in values)
    found = source.observe(
        Observation(
            {
                "count": Aggregate(known, size),
                "sum": Aggregate(tuple(e.known(v, e.again(v)) for v in values), size),
            }
        )
    )
    count = found["count"]
    return count, np.divide(found["sum"], count, out=np.zeros(size), where=count > 0)


def spread_of(columns: Sequence[Column], source: Source) -> tuple[list[float], list[float]]:
    """Mean and sample standard deviation of each element, NULL left out; squares are taken about the mean.

    Returns:
        (d,) means, in the elements' units, and (d,) standard deviations; 0 where fewer than two rows are known.
    """
    values = [x.expression for c in columns for x in c.elements]
    size = (len(values),)
    count, mean = means_of(columns, source)
    away = [e.known(v, e.square(e.subtract(e.again(v), e.number(m)))) for v, m in zip(values, mean, strict=True)]
    squares = source.observe(Observation({"square": Aggregate(tuple(away), size)}))["square"]
    deviation = np.sqrt(np.divide(squares, count - 1, out=np.zeros(size), where=count > 1))
    return mean.tolist(), deviation.tolist()


@dataclass(frozen=True)
class StandardScaler:
    """Fitted means and deviations; a column without spread becomes 0, as in Spark."""

    function: ClassVar[str] = "standard_scaler"
    usage: ClassVar[str] = "standard_scaler(column, withStd = true, withMean = false) alias"

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    with_std: bool = True
    with_mean: bool = False

    @classmethod
    def fit(cls, spec: StepSpec, columns: Sequence[Column], source: Source) -> StandardScaler:
        """Two scans: means, then squares about them.

        Raises:
            BindError: the column is text.
        """
        need_numbers(spec, columns[0], "make a number of it with string_indexer first")
        given = parameters(spec, cls.usage, with_std=flag(True), with_mean=flag(False))
        mean, deviation = spread_of(columns, source)
        return cls(tuple(mean), tuple(deviation), given["with_std"], given["with_mean"])

    def apply(self, columns: Sequence[Column]) -> Column:
        """The scaled elements."""
        column = columns[0]
        scaled = []
        for element, mean, deviation in zip(column.elements, self.mean, self.deviation, strict=True):
            value = e.again(element.expression)
            if self.with_mean:
                value = e.subtract(value, e.number(mean))
            if self.with_std:
                value = e.divide(value, e.number(deviation)) if deviation > 0 else e.multiply(value, e.number(0.0))
            scaled.append(Element(element.name, value))
        return Column(tuple(scaled), column.vector)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {
            "mean": list(self.mean),
            "deviation": list(self.deviation),
            "with_std": self.with_std,
            "with_mean": self.with_mean,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StandardScaler:
        """Read back what :meth:`to_json` wrote."""
        return cls(floats(data, "mean"), floats(data, "deviation"), bool(data["with_std"]), bool(data["with_mean"]))
