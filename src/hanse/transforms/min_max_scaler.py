"""min_max_scaler(column [, min [, max]]): stretch to the range between min and max."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hanse import expressions as e
from hanse.errors import BindError
from hanse.estimator import Aggregate, Observation
from hanse.transforms.arguments import floats, need_numbers, parameters, real
from hanse.transforms.base import Column, Element, Source, StepSpec
from hanse.types import JsonValue

__all__ = ["MinMaxScaler"]


@dataclass(frozen=True)
class MinMaxScaler:
    """Fitted bounds; a column without spread becomes the middle of the range, as in Spark.

    Minimum and maximum combine over data holders, but each is a single row's value.
    """

    function: ClassVar[str] = "min_max_scaler"
    usage: ClassVar[str] = "min_max_scaler(column, min = 0, max = 1) alias"

    least: tuple[float, ...]
    greatest: tuple[float, ...]
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def fit(cls, spec: StepSpec, columns: Sequence[Column], source: Source) -> MinMaxScaler:
        """One scan.

        Raises:
            BindError: the column is text, or min is not below max.
        """
        need_numbers(spec, columns[0], "make a number of it with string_indexer first")
        given = parameters(spec, cls.usage, low=real(0.0), high=real(1.0))
        if given["low"] >= given["high"]:
            what = f"min_max_scaler with min {given['low']:g} and max {given['high']:g}"
            raise BindError(what, "need min below max", spec.position)
        values = [x.expression for x in columns[0].elements]
        known = tuple(e.known(v, e.again(v)) for v in values)
        size = (len(values),)
        found = source.observe(
            Observation({"least": Aggregate(known, size, "min"), "greatest": Aggregate(known, size, "max")})
        )
        least = np.where(np.isfinite(found["least"]), found["least"], 0.0)
        greatest = np.where(np.isfinite(found["greatest"]), found["greatest"], 0.0)
        return cls(tuple(least.tolist()), tuple(greatest.tolist()), given["low"], given["high"])

    def apply(self, columns: Sequence[Column]) -> Column:
        """The stretched elements."""
        column = columns[0]
        scaled = []
        for element, least, greatest in zip(column.elements, self.least, self.greatest, strict=True):
            value = e.again(element.expression)
            if greatest > least:
                share = e.divide(e.subtract(value, e.number(least)), e.number(greatest - least))
                value = e.add(e.multiply(share, e.number(self.high - self.low)), e.number(self.low))
            else:
                value = e.add(e.multiply(value, e.number(0.0)), e.number((self.high + self.low) / 2))
            scaled.append(Element(element.name, value))
        return Column(tuple(scaled), column.vector)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {
            "least": list(self.least),
            "greatest": list(self.greatest),
            "low": self.low,
            "high": self.high,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MinMaxScaler:
        """Read back what :meth:`to_json` wrote."""
        return cls(floats(data, "least"), floats(data, "greatest"), float(data["low"]), float(data["high"]))
