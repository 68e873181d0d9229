"""vector_assembler(array(a, b, ...)): numbers side by side, as one vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hanse.errors import BindError
from hanse.transforms.base import Column, Source, StepSpec
from hanse.types import JsonValue

__all__ = ["VectorAssembler"]


@dataclass(frozen=True)
class VectorAssembler:
    """Nothing is learnt: the elements stand in the order of the arguments.

    >>> VectorAssembler().to_json()
    {}
    """

    function: ClassVar[str] = "vector_assembler"
    usage: ClassVar[str] = "vector_assembler(array(column, ...)) alias"

    @classmethod
    def fit(cls, spec: StepSpec, columns: Sequence[Column], source: Source) -> VectorAssembler:
        """Check that every element is a number.

        Raises:
            BindError: an element is not, or there is none, or one stands twice.
        """
        if not columns:
            raise BindError("vector_assembler has no columns", f"write {cls.usage}", spec.position)
        seen: set[str] = set()
        for element in (e for c in columns for e in c.elements):
            if element.kind == "text":
                cure = "make a number of it with string_indexer, or leave it out"
                raise BindError(f"column {element.name} of vector_assembler is text", cure, spec.position)
            if element.name.lower() in seen:
                cure = "name each column once"
                raise BindError(f"column {element.name} stands twice in vector_assembler", cure, spec.position)
            seen.add(element.name.lower())
        return cls()

    def apply(self, columns: Sequence[Column]) -> Column:
        """All elements in one vector."""
        return Column(tuple(e for c in columns for e in c.elements), vector=True)

    def to_json(self) -> dict[str, JsonValue]:
        """Nothing to keep."""
        return {}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> VectorAssembler:
        """Nothing to read."""
        return cls()
