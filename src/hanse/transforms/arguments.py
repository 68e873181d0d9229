"""Reading a transform's further arguments, and its fields in an artifact."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from hanse.errors import BindError
from hanse.transforms.base import Column, StepSpec

__all__ = ["flag", "floats", "need_numbers", "need_text", "parameters", "real", "text", "word"]

Reader = tuple[Any, Callable[[Any], Any]]
"""A default, and a function that gives the value or raises ValueError with what is needed."""


def parameters(spec: StepSpec, usage: str, **readers: Reader) -> dict[str, Any]:
    """The arguments after the column, by name.

    Raises:
        BindError: there are too many, or one does not fit.
    """
    if len(spec.parameters) > len(readers):
        what = f"{spec.function} takes {len(readers)} argument{'s' if len(readers) != 1 else ''} after the column"
        raise BindError(f"{what}, not {len(spec.parameters)}", f"write {usage}", spec.position)
    values = {name: default for name, (default, _) in readers.items()}
    for (name, (_, read)), given in zip(readers.items(), spec.parameters, strict=False):
        try:
            values[name] = read(given)
        except ValueError as error:
            what = f"{spec.function}: {name} = {given!r}"
            raise BindError(what, f"{error}; write {usage}", spec.position) from None
    return values


def need_numbers(spec: StepSpec, column: Column, cure: str) -> None:
    """Check that a step's column holds no text.

    Raises:
        BindError: it does.
    """
    for element in column.elements:
        if element.kind == "text":
            raise BindError(f"column {element.name} of {spec.function} is text", cure, spec.position)


def need_text(spec: StepSpec, column: Column, cure: str) -> None:
    """Check that a step's column holds text.

    Raises:
        BindError: it does not.
    """
    for element in column.elements:
        if element.kind != "text":
            raise BindError(f"column {element.name} of {spec.function} is no text", cure, spec.position)


def flag(default: bool) -> Reader:
    """True or false."""

    def read(value: Any) -> bool:
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise ValueError("need true or false")
        return value

    return default, read


def real(default: float) -> Reader:
    """A finite number."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError("need a number")
        return float(value)

    return default, read


def text(default: str) -> Reader:
    """A text."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("need a text in quotes")
        return value

    return default, read


def word(default: str, *words: str) -> Reader:
    """One of a few words."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in words:
            raise ValueError(f"need one of {', '.join(words)}")
        return value.lower()

    return default, read


def floats(data: Mapping[str, Any], name: str) -> tuple[float, ...]:
    """Finite numbers of an artifact.

    Raises:
        ValueError: one is not.
    """
    values = tuple(float(x) for x in data[name])
    if not all(math.isfinite(x) for x in values):
        raise ValueError(f"{name} holds a number that is not finite")
    return values
