"""Estimator states as plain data, for the wire and the journal: the same numbers to the last bit, read strictly."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

import msgspec
import numpy as np

from hanse.decoding import converted
from hanse.errors import ShapeError, nearest

__all__ = ["state_from_plain", "state_to_plain"]


def state_to_plain(state: Any) -> dict[str, Any]:
    """A state, a frozen dataclass, as dicts, lists and numbers.

    Raises:
        ShapeError: it holds a number that is not finite, which JSON cannot carry.
    """
    plain: dict[str, Any] = msgspec.to_builtins(state, enc_hook=_encode)
    _check_finite(plain, "state")
    return plain


def state_from_plain(kind: type[Any], data: Any) -> Any:
    """Plain data as a state of type ``kind``.

    Raises:
        ShapeError: a field is missing, unknown or of another type.
    """
    for where, held, unknown in _unknown(kind, data, "state"):
        raise ShapeError(f"this is no {kind.__name__}: unknown field {where}.{unknown!s:.60}: {nearest(unknown, held)}")
    try:
        return converted(data, kind, _decode)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise ShapeError(f"this is no {kind.__name__}: {error}") from None


def _unknown(kind: Any, data: Any, where: str) -> Iterator[tuple[str, list[str], str]]:
    """Fields that no dataclass has, also further down; msgspec itself refuses them of its own structs only.

    Yields:
        where it stands, the fields that there are, and the field.
    """
    if isinstance(data, dict):
        for part in _dataclasses(kind):
            held = [field.name for field in fields(part)]
            hints = _hints(part)
            for name, value in data.items():
                if name not in held:
                    yield where, held, str(name)
                else:
                    yield from _unknown(hints[name], value, f"{where}.{name}")
    elif isinstance(data, list | tuple) and _dataclasses(kind):
        for number, value in enumerate(data):
            yield from _unknown(kind, value, f"{where}[{number}]")


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields; working them out takes longer than all the rest."""
    return get_type_hints(kind)


@functools.cache
def _dataclasses(kind: Any) -> tuple[Any, ...]:
    """The dataclasses that a type hint names: ``Node`` of ``tuple[Node, ...] | None``."""
    own = (kind,) if is_dataclass(kind) else ()
    return own + tuple(found for part in get_args(kind) for found in _dataclasses(part))


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.floating | np.integer):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be plain data")


def _decode(kind: Any, value: Any) -> Any:
    array = np.array(value, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError("an array holds a number that is not finite")
    return array


def _check_finite(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ShapeError(f"{where} = {value}: a state holds finite numbers only")
    if isinstance(value, dict):
        for name, item in value.items():
            _check_finite(item, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _check_finite(item, f"{where}[{number}]")
