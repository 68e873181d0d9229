"""What every transport does, and the answers that it makes itself when an agent has none."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from hanse.errors import HanseError
from hanse.messages import Reply, Task, task_hash

__all__ = ["Answer", "Transport", "answered", "failed", "fits", "handed_on"]

T = TypeVar("T")

Answer = Callable[[Task], Reply]
"""A silo's agent, as a transport sees it: thread-safe, and giving the same answer to the same task hash."""


class Transport(Protocol):
    """The way from a coordinator to its silos."""

    def silos(self) -> Sequence[str]:
        """The silos that can be asked, sorted."""
        ...

    def ask(
        self, tasks: Mapping[str, Task], timeout_s: float, meanwhile: Callable[[], object] | None = None
    ) -> Iterator[Reply]:
        """Send each silo its task and hand on the replies as they come.

        Args:
            tasks: by silo.
            timeout_s: from the first ``next``; ends the wait for all of them together.
            meanwhile: what there is to do while silos work: called by the thread that waits, once at the most; over a
                network when all tasks are on their way, or a first reply has been taken.

        Yields:
            One valid reply per silo at most. A silo that stays silent until the deadline is absent; the caller
            names it.

        Raises:
            TransportError: nothing could be asked at all.
        """
        ...

    def close(self) -> None:
        """Let go of connections and threads; what is on its way is dropped."""
        ...


def handed_on(came: queue.SimpleQueue[T], deadline: float | None) -> Iterator[T]:
    """What comes out of a queue until a deadline.

    Args:
        came: filled by other threads.
        deadline: on the monotonic clock; None waits for ever.
    """
    while True:
        try:
            one = came.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return
        yield one


def failed(task: Task, message: str) -> Reply:
    """The reply of a silo that could not answer."""
    return Reply(
        run=task.run,
        round=task.round,
        silo=task.silo,
        task_hash=task_hash(task),
        status="failed",
        message=message,
    )


def fits(reply: Reply, task: Task) -> bool:
    """Whether a reply answers this task and no other."""
    return (
        reply.run == task.run
        and reply.round == task.round
        and reply.silo == task.silo
        and reply.task_hash == task_hash(task)
    )


def answered(answer: Answer, task: Task, tell: Callable[[str], None]) -> Reply:
    """The agent's reply; where it fails, a reply that says so and no more.

    An error's text may speak of rows, so it goes to ``tell``, which is the silo's own log, and never on the wire.
    """
    try:
        reply = answer(task)
    except HanseError as error:
        tell(f"run {task.run}, round {task.round}, {task.kind}: {error}")
        return failed(task, f"silo {task.silo} could not answer; its own log says why")
    except Exception as error:  # noqa: BLE001  # one bad task must not end the silo, whatever the agent raised
        tell(f"run {task.run}, round {task.round}, {task.kind}: {type(error).__name__}: {error}")
        return failed(task, f"silo {task.silo} could not answer; its own log says why")
    if not fits(reply, task):
        tell(f"run {task.run}, round {task.round}, {task.kind}: the agent answered another task; nothing is sent")
        return failed(task, f"silo {task.silo} answered another task; its own log says more")
    return reply
