"""What an SQL option may be: defaults, checks and a line of help, beside the field that takes it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hanse.errors import BindError, Position, nearest

__all__ = ["Check", "Flag", "Given", "NameBut", "Names", "OneOf", "Only", "Range", "build", "describe", "option"]


class Check(Protocol):
    """Turns what was written into the option's value."""

    def convert(self, value: Any) -> Any:
        """The value.

        Raises:
            ValueError: with what is needed instead: ``need 2 or more``.
        """
        ...


@dataclass(frozen=True)
class Range:
    """A whole or real number within bounds, or one of a few words."""

    kind: type
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    or_text: tuple[str, ...] = ()

    def convert(self, value: Any) -> Any:
        """The number, or the word in lower case."""
        if isinstance(value, str) and value.lower() in self.or_text:
            return value.lower()
        numeric = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not numeric or (self.kind is int and value != int(value)):
            raise ValueError(f"need {self._wanted()}")
        if value < self.low or value > self.high or (self.open_low and value == self.low):
            raise ValueError(f"need {self._wanted()}")
        return self.kind(value)

    def _wanted(self) -> str:
        noun = "a whole number" if self.kind is int else "a number"
        if self.open_low:
            noun += f" above {self.low:g}"
            noun += f", at most {self.high:g}" if math.isfinite(self.high) else ""
        elif math.isfinite(self.low) and math.isfinite(self.high):
            noun += f" from {self.low:g} to {self.high:g}"
        elif math.isfinite(self.low):
            noun = f"{self.low:g} or more" if self.kind is int else f"{noun} of {self.low:g} or more"
        return noun + "".join(f" or '{t}'" for t in self.or_text)


class OneOf:
    """One of a few words, in any case."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def convert(self, value: Any) -> str:
        """The word, as it is listed."""
        for word in self.words:
            if isinstance(value, str) and value.lower() == word.lower():
                return word
        raise ValueError(f"need {' or '.join(repr(w) for w in self.words)}")


@dataclass(frozen=True)
class Only:
    """The one number that there is so far."""

    value: float
    why: str

    def convert(self, value: Any) -> float:
        """The number."""
        if isinstance(value, int | float) and not isinstance(value, bool) and value == self.value:
            return self.value
        raise ValueError(f"need {self.value:g}: {self.why}")


class NameBut:
    """A column's name that is none of a few, in any case."""

    def __init__(self, *taken: str) -> None:
        self.taken = taken

    def convert(self, value: Any) -> str:
        """The name, as it is."""
        name: str = _Text().convert(value)
        if (name or "").lower() in self.taken:
            raise ValueError(f"need another name, for the model gives a column {name.lower()} of its own")
        return name


class _Text:
    def convert(self, value: Any) -> Any:
        if value is None or (isinstance(value, str) and value):
            return value
        raise ValueError("need a name in quotes")


class Flag:
    """True or false."""

    def convert(self, value: Any) -> bool:
        """The truth value."""
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise ValueError("need true or false")


class Names:
    """A list of names, each once."""

    def convert(self, value: Any) -> tuple[str, ...]:
        """The names."""
        names = tuple(value) if isinstance(value, list | tuple) else ()
        if not names or not all(isinstance(name, str) and name.strip() for name in names):
            raise ValueError("need a list of names, as array('a', 'b')")
        if len({name.lower() for name in names}) != len(names):
            raise ValueError("need different names")
        return names


def option(default: Any, check: Check | None, text: str) -> Any:
    """A field of an estimator that SQL can set."""
    return dataclasses.field(default=default, metadata={"check": check or _Text(), "help": text})


@dataclass(frozen=True)
class Given:
    """An option as a statement gives it."""

    key: str
    value: Any
    position: Position | None = None
    value_position: Position | None = None


def build(kind: type[Any], given: Iterable[Given], what: str) -> Any:
    """Make ``kind`` of what a statement gives.

    Args:
        kind: a frozen dataclass whose fields were made by :func:`option`.
        given: keys in any case; checked one by one.
        what: named in errors, as ``bisecting_kmeans``.

    Raises:
        BindError: an unknown key or a value that does not fit.
    """
    fields = {f.name: f for f in dataclasses.fields(kind) if "check" in f.metadata}
    values: dict[str, Any] = {}
    for item in given:
        name = item.key.lower()
        if name not in fields:
            known = [f.upper() for f in fields]
            raise BindError(f"unknown option {item.key} of {what}", nearest(item.key, known), item.position)
        try:
            values[name] = fields[name].metadata["check"].convert(item.value)
        except ValueError as error:
            raise BindError(f"{item.key} = {item.value!r}", str(error), item.value_position) from None
    return kind(**values)


def describe(kind: type[Any]) -> Mapping[str, tuple[Any, str]]:
    """For each option, in upper case: its default and a line of help."""
    return {f.name.upper(): (f.default, f.metadata["help"]) for f in dataclasses.fields(kind) if "check" in f.metadata}
