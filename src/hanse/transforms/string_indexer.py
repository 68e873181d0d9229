"""Text and truth values as numbers: string_imputer, boolean_imputer and string_indexer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hanse import expressions as e
from hanse.errors import BindError, DataError
from hanse.transforms.arguments import flag, need_numbers, need_text, parameters, text
from hanse.transforms.base import Column, Element, Source, StepSpec
from hanse.types import JsonValue

__all__ = ["BooleanImputer", "StringImputer", "StringIndexer"]

_MOST_LABELS = 10_000


@dataclass(frozen=True)
class StringImputer:
    """Text in place of NULL."""

    function: ClassVar[str] = "string_imputer"
    usage: ClassVar[str] = "string_imputer(column, 'ml_unknown') alias"

    fill: str

    @classmethod
    def fit(cls, spec: StepSpec, columns: Sequence[Column], source: Source) -> StringImputer:
        """Nothing is learnt.

        Raises:
            BindError: the column is no text.
        """
        need_text(spec, columns[0], "use numeric_imputer or boolean_imputer")
        return cls(parameters(spec, cls.usage, fill=text("ml_unknown"))["fill"])

    def apply(self, columns: Sequence[Column]) -> Column:
        """The text without gaps."""
        made = [Element(x.name, e.coalesce(x.expression, e.string(self.fill)), "text") for x in columns[0].elements]
        return Column(tuple(made), columns[0].vector)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {"fill": self.fill}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StringImputer:
        """Read back what :meth:`to_json` wrote."""
        return cls(str(data["fill"]))


@dataclass(frozen=True)
class BooleanImputer:
    """A truth value in place of NULL; truth values are the numbers 1 and 0."""

    function: ClassVar[str] = "boolean_imputer"
    usage: ClassVar[str] = "boolean_imputer(column, false) alias"

    fill: bool

    @classmethod
    def fit(cls, spec: StepSpec, columns: Sequence[Column], source: Source) -> BooleanImputer:
        """Nothing is learnt.

        Raises:
            BindError: the column is text.
        """
        need_numbers(spec, columns[0], "use string_imputer")
        return cls(parameters(spec, cls.usage, fill=flag(False))["fill"])

    def apply(self, columns: Sequence[Column]) -> Column:
        """The numbers without gaps."""
        made = [Element(x.name, e.coalesce(x.expression, e.number(float(self.fill)))) for x in columns[0].elements]
        return Column(tuple(made), columns[0].vector)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {"fill": self.fill}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BooleanImputer:
        """Read back what :meth:`to_json` wrote."""
        return cls(bool(data["fill"]))


@dataclass(frozen=True)
class StringIndexer:
    """Labels by falling frequency: the most frequent is 0; equally frequent ones in alphabetical order, as in Spark.

    A label that training did not see becomes NULL, which prediction refuses and counts.
    """

    function: ClassVar[str] = "string_indexer"
    usage: ClassVar[str] = "string_indexer(column) alias"

    labels: tuple[str, ...]

    @classmethod
    def fit(cls, spec: StepSpec, columns: Sequence[Column], source: Source) -> StringIndexer:
        """One grouped scan.

        Raises:
            BindError: the column is a vector.
            DataError: there are too many labels.
        """
        parameters(spec, cls.usage)
        if len(columns[0].elements) != 1:
            raise BindError("string_indexer takes one column, not a vector", f"write {cls.usage}", spec.position)
        element = columns[0].elements[0]
        found = [(str(v), n) for v, n in source.frequencies(e.as_text(element.expression)) if v is not None]
        if len(found) > _MOST_LABELS:
            raise DataError(
                f"string_indexer: column {element.name} has {len(found)} labels, more than {_MOST_LABELS}: leave it out"
            )
        found.sort(key=lambda pair: (-pair[1], pair[0]))
        return cls(tuple(label for label, _ in found))

    def apply(self, columns: Sequence[Column]) -> Column:
        """The labels' numbers."""
        element = columns[0].elements[0]
        value = e.as_text(element.expression)
        branches = [e.when(e.equal(e.again(value), e.string(s)), e.number(float(i))) for i, s in enumerate(self.labels)]
        return Column((Element(element.name, e.case(branches, None)),))

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        return {"labels": list(self.labels)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StringIndexer:
        """Read back what :meth:`to_json` wrote."""
        return cls(tuple(str(s) for s in data["labels"]))
