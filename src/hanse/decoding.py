"""Plain data read strictly as what a type says.

msgspec learns a type when it first reads one, and while one thread's learning is under way another thread's reading
finds half of it: a wrong refusal, or a crash. Silos read on threads, so a type is learned under a lock here, whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

__all__ = ["converted", "decoded"]

T = TypeVar("T")

_LEARNING: Final = threading.Lock()
_READERS: Final[dict[Any, Any]] = {}


def decoded(data: bytes | str, kind: type[T]) -> T:
    """JSON as a value of type ``kind``.

    Raises:
        ValueError: no JSON; a ``msgspec.ValidationError``, which is one, where a field is missing, unknown or wrong.
        RecursionError: it is nested too deeply.
    """
    value: T = _reader(kind).decode(data)
    return value


def converted(data: Any, kind: type[T], dec_hook: Callable[[type, Any], Any] | None = None) -> T:
    """Dicts, lists, numbers and texts as a value of type ``kind``.

    Args:
        data: what to read.
        kind: of the value.
        dec_hook: makes values of types that msgspec does not know.

    Raises:
        msgspec.ValidationError: a field is missing, unknown or wrong.
    """
    _reader(kind)
    return msgspec.convert(data, type=kind, dec_hook=dec_hook)


def _reader(kind: Any) -> Any:
    with _LEARNING:
        if kind not in _READERS:
            _READERS[kind] = msgspec.json.Decoder(kind)
        return _READERS[kind]
