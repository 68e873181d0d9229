"""Python's garbage collector, asked to look less often where much is made at once and little of it dropped."""

from __future__ import annotations

import atexit
import contextlib
import gc
import threading
from collections.abc import Iterator

__all__ = ["hold", "leave_quickly", "patient", "release"]

_OBJECTS = 500_000
"""So many new objects make the collector look, instead of Python's 700."""

_lock = threading.Lock()
_threshold: list[int] = []  # Python's own, one for each who holds patience


def hold() -> None:
    """Be patient until :func:`release`, once for each time."""
    with _lock:
        now = gc.get_threshold()
        _threshold.append(now[0])
        gc.set_threshold(max(now[0], _OBJECTS) if now[0] else 0, *now[1:])


def release() -> None:
    """Undo one :func:`hold`; the last one gives Python its own threshold back.

    All objects count as old then: the collector would otherwise look through them at once.
    """
    with _lock:
        before = _threshold.pop()
        if not _threshold:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.set_threshold(before, *gc.get_threshold()[1:])


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """For as long as an import makes many lasting objects, or a silo many small syntax trees."""
    hold()
    try:
        yield
    finally:
        release()


def leave_quickly() -> None:
    """When Python ends, do not look through every object for garbage first: the system takes the memory back whole."""
    atexit.register(gc.freeze)
