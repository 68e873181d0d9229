"""Work that Ctrl-C can stop, also while it waits inside a library that hears no signals."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

__all__ = ["Interruptible"]

T = TypeVar("T")

_REPEAT_S = 0.05
_LONG_S = 0.02


class Interruptible:
    """Does work on a thread of its own, for the main thread alone hears Ctrl-C, and only while it runs Python.

    Args:
        interrupt: makes the work that is going on raise; harmless when there is none.
    """

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hanse-engine")

    def run(self, work: Callable[[], T], meanwhile: Callable[[], object] | None = None) -> T:
        """Do ``work``; from other threads than the main one, right there.

        Args:
            work: what to do.
            meanwhile: what the main thread may try instead of only waiting, where the work takes long; its errors are
                dropped.

        Raises:
            KeyboardInterrupt: Ctrl-C; the work has ended, or never begins.
        """
        if threading.current_thread() is not threading.main_thread():
            return work()
        task = _Task(work)
        try:
            self._worker.submit(task)
            if meanwhile is not None and not task.ended.wait(_LONG_S):
                with contextlib.suppress(Exception):
                    meanwhile()
            return task.future.result()
        except KeyboardInterrupt:
            self._stop(task)
            raise

    def _stop(self, task: _Task[Any]) -> None:
        """Wait for the end of the work, whatever else the user presses meanwhile."""
        while True:
            try:
                if task.drop():
                    return
                self._interrupt()
                task.ended.wait(_REPEAT_S)
            except KeyboardInterrupt:
                continue

    def close(self) -> None:
        """Let the thread go."""
        self._worker.shutdown()


class _Task(Generic[T]):
    """Work that can be dropped before it begins; submitting it may be interrupted at any point."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._dropped = False
        self._began = False
        self.future: Future[T] = Future()
        self.ended = threading.Event()

    def __call__(self) -> None:
        with self._lock:
            if self._dropped:
                return
            self._began = True
        try:
            self.future.set_result(self._work())
        except BaseException as error:  # noqa: BLE001  # it is raised where the result is awaited
            self.future.set_exception(error)
        finally:
            self.ended.set()

    def drop(self) -> bool:
        """Whether nothing runs: the work has ended, or will not begin."""
        with self._lock:
            self._dropped = True
            return not self._began or self.ended.is_set()
