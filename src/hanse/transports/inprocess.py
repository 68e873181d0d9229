"""Silos in this process: the same agents, without a wire."""

from __future__ import annotations

import itertools
import queue
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from hanse.errors import UsageError, nearest
from hanse.messages import Reply, Task
from hanse.transports.base import Answer, answered, handed_on

__all__ = ["InProcess"]

_THREADS = 8


def _stderr(line: str) -> None:
    sys.stderr.write(f"silo: {line}\n")


class InProcess:
    """Asks agents in this process, side by side.

    Args:
        agents: by silo.
        tell: takes a line for the silo's log; stderr without it.

    Example:
        >>> from hanse.messages import Reply, Task, task_hash
        >>> def agent(task):
        ...     return Reply(run=task.run, round=0, silo=task.silo, task_hash=task_hash(task), status="ok")
        >>> transport = InProcess({"a": agent})
        >>> task = Task(run="r", round=0, silo="a", nonce="", expires_at=0, kind="describe", relation="f",
        ...             features=("x",), strategy="one_shot")
        >>> [reply.status for reply in transport.ask({"a": task}, 5)]
        ['ok']
        >>> transport.close()
    """

    def __init__(self, agents: Mapping[str, Answer], tell: Callable[[str], None] = _stderr) -> None:
        self._agents = dict(agents)
        self._tell = tell
        self._pool: ThreadPoolExecutor | None = None

    def silos(self) -> Sequence[str]:
        """The silos that can be asked, sorted."""
        return sorted(self._agents)

    def ask(
        self, tasks: Mapping[str, Task], timeout_s: float, meanwhile: Callable[[], object] | None = None
    ) -> Iterator[Reply]:
        """Ask the agents; see :meth:`hanse.transports.base.Transport.ask`.

        Raises:
            UsageError: there is no silo of that name.
        """
        for silo in tasks:
            if silo not in self._agents:
                raise UsageError(f"silo {silo}: no such silo: {nearest(silo, self._agents)}")
        return self._ask(dict(tasks), timeout_s, meanwhile)

    def _ask(self, tasks: dict[str, Task], timeout_s: float, meanwhile: Callable[[], object] | None) -> Iterator[Reply]:
        deadline = time.monotonic() + timeout_s
        if self._pool is None:
            self._pool = ThreadPoolExecutor(min(_THREADS, max(1, len(self._agents))), "hanse-silo")
        replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        for silo, task in tasks.items():
            self._pool.submit(self._answer, self._agents[silo], task, replies)
        if meanwhile is not None:
            meanwhile()
        yield from itertools.islice(handed_on(replies, deadline), len(tasks))

    def _answer(self, agent: Answer, task: Task, replies: queue.SimpleQueue[Reply]) -> None:
        replies.put(answered(agent, task, self._say))

    def _say(self, line: str) -> None:
        """Tell a line, unless nobody waits for answers any more: then silos may be closed already."""
        if self._pool is not None:
            self._tell(line)

    def close(self) -> None:
        """Drop what is still waiting; an answer that is being computed is finished and forgotten."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
