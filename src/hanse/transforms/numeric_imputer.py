"""numeric_imputer(column [, strategy]): put the mean, the median or the mode where a number is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hanse import expressions as e
from hanse.errors import DataError
from hanse.transforms.arguments import floats, need_numbers, parameters, word
from hanse.transforms.base import Column, Element, Source, StepSpec
from hanse.transforms.standard_scaler import means_of
from hanse.types import JsonValue

__all__ = ["NumericImputer"]


@dataclass(frozen=True)
class NumericImputer:
    """Fitted fill-ins; NULL and NaN are missing, as in Spark."""

    function: ClassVar[str] = "numeric_imputer"
    usage: ClassVar[str] = "numeric_imputer(column, 'mean' | 'median' | 'mode') alias"

    fill: tuple[float, ...]

    @classmethod
    def fit(cls, spec: StepSpec, columns: Sequence[Column], source: Source) -> NumericImputer:
        """One or two scans.

        Raises:
            BindError: the column is text.
            DataError: no row has a number.
        """
        strategy = parameters(spec, cls.usage, strategy=word("mean", "mean", "median", "mode"))["strategy"]
        column = columns[0]
        need_numbers(spec, column, "use string_imputer")
        if strategy == "mean":
            count, mean = means_of(columns, source)
            fill: Sequence[float | None] = [m if n > 0 else None for m, n in zip(mean.tolist(), count, strict=True)]
        elif strategy == "median":
            fill = [source.median(_known(x)) for x in column.elements]
        else:
            fill = [_mode(source, x) for x in column.elements]
        filled = [0.0 if f is None or not math.isfinite(f) else f for f in fill]
        if any(f is None for f in fill):
            names = ", ".join(x.name for x, f in zip(column.elements, fill, strict=True) if f is None)
            raise DataError(f"numeric_imputer: no row has a number in {names}; there is no {strategy} to put in")
        return cls(tuple(filled))

    def apply(self, columns: Sequence[Column]) -> Column:
        """The elements without gaps."""
        column = columns[0]
        whole = [
            Element(x.name, e.case([e.when(e.is_number(x.expression), e.again(x.expression))], e.number(f)))
            for x, f in zip(column.elements, self.fill, strict=True)
        ]
        return Column(tuple(whole), column.vector)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {"fill": list(self.fill)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NumericImputer:
        """Read back what :meth:`to_json` wrote."""
        return cls(floats(data, "fill"))


def _known(element: Element) -> e.Expression:
    return e.known(element.expression, e.again(element.expression))


def _mode(source: Source, element: Element) -> float | None:
    """The most frequent number; the smallest of equally frequent ones."""
    found = [(float(value), count) for value, count in source.frequencies(_known(element)) if value is not None]
    return min(found, key=lambda pair: (-pair[1], pair[0]))[0] if found else None
