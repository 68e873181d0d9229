"""What a transform is: fitted on additive statistics, then plain SQL expressions.

A transform takes one column of the SELECT, or the result of a step before it, and gives a column under its alias. A
column here is a list of elements: one for a plain column, several for a vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from hanse.errors import Position
from hanse.estimator import Observation
from hanse.expressions import Expression
from hanse.statistics import Statistics
from hanse.types import JsonValue

__all__ = ["Column", "Element", "Fitted", "Source", "StepSpec", "Transform"]


@dataclass(frozen=True)
class Element:
    """One number or text of a row, as SQL.

    Args:
        name: the column that it began as; ``s.a`` for a field of a struct.
        expression: over the SELECT's columns.
        kind: ``number``, ``text`` or ``truth``.
        source: the SELECT's column that it is read from, where that is not ``name``.
    """

    name: str
    expression: Expression
    kind: str = "number"
    source: str = ""


@dataclass(frozen=True)
class Column:
    """What a step takes or gives.

    Args:
        elements: one, or the elements of a vector.
        vector: whether it is a vector, of however many elements.
    """

    elements: tuple[Element, ...]
    vector: bool = False


class Source(Protocol):
    """The rows that a transform is fitted on."""

    def observe(self, observation: Observation) -> Statistics:
        """Additive statistics over all rows."""
        ...

    def median(self, value: Expression) -> float | None:
        """The exact median of the rows where ``value`` is a number; does not add up, so local only."""
        ...

    def frequencies(self, value: Expression) -> list[tuple[Any, int]]:
        """Distinct values with their counts, the most frequent first; does not add up, so local only."""
        ...


@dataclass(frozen=True)
class StepSpec:
    """A step as a statement gives it, names and numbers only.

    Args:
        function: lower case.
        inputs: names of columns; several only for ``vector_assembler``.
        parameters: the further arguments, in order.
        alias: what the result is called.
    """

    function: str
    inputs: tuple[str, ...]
    parameters: tuple[Any, ...]
    alias: str
    position: Position | None = None


class Fitted(Protocol):
    """A fitted transform: plain data that becomes expressions."""

    def apply(self, columns: Sequence[Column]) -> Column:
        """The result, as expressions over the inputs."""
        ...

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        ...


class Transform(Protocol):
    """One kind of transform."""

    function: ClassVar[str]
    usage: ClassVar[str]

    @classmethod
    def fit(cls, spec: StepSpec, columns: Sequence[Column], source: Source) -> Fitted:
        """Learn from the rows what the transform needs.

        Raises:
            BindError: the arguments do not fit.
            DataError: the rows do not.
        """
        ...

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fitted:
        """Read a fitted transform back."""
        ...
