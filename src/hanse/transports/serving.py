"""The silo's side of NATS: it dials out, takes tasks off its own subject, and answers until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from hanse.collector import patient
from hanse.errors import EnvelopeError, TransportError
from hanse.messages import Reply, Task, decode, encode, task_hash
from hanse.transports.base import answered, failed
from hanse.transports.envelope import Label, Opened, Replays, open_sealed, seal
from hanse.transports.keys import PublicKey
from hanse.transports.link import Diagnostics, Link, Message, ignore_unheard
from hanse.transports.settings import COORDINATOR, ConnectionSettings

__all__ = ["Served", "serve"]

Served = Callable[[Task, str], Reply]
"""A silo's agent as it is served: takes a task, and the key of the coordinator that signed it."""

_THREADS: Final = 4
_MOST_WAITING: Final = 10_000


def _stderr(line: str) -> None:
    sys.stderr.write(f"silo: {line}\n")
    sys.stderr.flush()


def _nothing() -> None:
    """Nobody waits to hear that the silo is ready."""


def serve(
    settings: ConnectionSettings,
    answer: Served,
    *,
    stop: threading.Event,
    ready: Callable[[], None] = _nothing,
    tell: Callable[[str], None] = _stderr,
    diagnostics: Diagnostics | None = None,
) -> None:
    """Answer a silo's tasks until ``stop`` is set; waits for the broker, and comes back to it.

    Args:
        settings: of the silo's ``[federation]`` table.
        answer: the agent, told who asks; called on several threads, never for the same task twice at once.
        stop: ends it.
        ready: called once, when the broker first delivers to this silo.
        tell: takes a line for the silo's log; stderr without it.
        diagnostics: counts what was answered and what was refused.

    Raises:
        UsageError: no coordinator is named, or the keys cannot be read.
        TransportError: a certificate cannot be read; or the broker refuses this silo before it was ever connected.
    """
    serving = _Serving(settings, answer, ready, tell, diagnostics or Diagnostics())
    with patient():
        asyncio.run(serving.run(stop))


class _Serving:
    """One run of :func:`serve`; all of it but the agent runs on one event loop."""

    def __init__(
        self,
        settings: ConnectionSettings,
        answer: Served,
        ready: Callable[[], None],
        tell: Callable[[str], None],
        diagnostics: Diagnostics,
    ) -> None:
        self._settings = settings
        self._answer = answer
        self._ready: Callable[[], None] | None = ready
        self._tell = tell
        self._diagnostics = diagnostics
        self._identity = settings.own_identity()
        self._coordinators = settings.trusted_coordinators()
        self._replays = Replays()
        self._waiting: dict[tuple[bytes, str], str] = {}  # where the answer to a task goes, by sender and task hash
        self._sending: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(_THREADS, "hanse-silo")
        self._link = Link(settings, f"hanse.task.{settings.subject}", self._receive, self._up, tell, diagnostics)

    async def run(self, stop: threading.Event) -> None:
        """Serve until ``stop``."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(ignore_unheard)
        stopped = asyncio.Event()
        threading.Thread(target=_relay, args=(stop, loop, stopped), name="hanse-stop", daemon=True).start()
        serving = asyncio.ensure_future(self._link.run())
        stopping = asyncio.ensure_future(stopped.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        finally:
            for task in (serving, stopping, *self._sending):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError, TransportError):
                await serving
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _up(self) -> None:
        self._tell(f"connected to {self._settings.server} as {self._settings.subject}")
        if self._ready is not None:
            ready, self._ready = self._ready, None
            ready()

    def _receive(self, message: Message) -> None:
        try:
            if not message.reply.startswith(f"hanse.reply.{self._settings.subject}."):
                raise EnvelopeError("foreign", f"an answer to {message.reply or 'nowhere'} would not be this silo's")
            opened, task = self._opened(message.data)
        except EnvelopeError as error:
            count = self._diagnostics.count(error.code)
            if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th ...: a flood does not fill the log
                self._tell(f"a message was refused ({error.code}, no. {count}): {error}")
            return
        key = opened.sender.raw, task_hash(task)
        known = key in self._waiting
        if not known and len(self._waiting) >= _MOST_WAITING:
            self._diagnostics.count("flooded")
            return
        self._waiting[key] = message.reply
        if known:
            self._diagnostics.count("duplicate")
            return
        working = asyncio.get_running_loop().run_in_executor(self._pool, self._work, opened.sender, task)
        sending = asyncio.ensure_future(self._respond(key, opened.sender, task, working))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    def _opened(self, data: bytes) -> tuple[Opened, Task]:
        opened = open_sealed(
            data,
            receiver=self._identity,
            audience=self._settings.subject,
            senders=self._coordinators,
            replays=self._replays,
        )
        try:
            task: Task = decode(opened.message, Task)
        except (ValueError, RecursionError):
            raise EnvelopeError("malformed", "the message is no task of this protocol") from None
        label = opened.label
        if (task.run, task.round, task.expires_at) != (label.run, label.round, label.expires_at):
            raise EnvelopeError("mismatch", "the task and its envelope name different rounds")
        return opened, task

    async def _respond(
        self, key: tuple[bytes, str], sender: PublicKey, task: Task, working: asyncio.Future[bytes]
    ) -> None:
        try:
            envelope = await working
        finally:
            subject = self._waiting.pop(key)
        if time.time() >= task.expires_at:
            self._diagnostics.count("late")
            return
        try:
            sent = await self._link.publish(subject, envelope)
        except TransportError as error:
            self._tell(f"run {task.run}, round {task.round}, {task.kind}: {error}")
            envelope = self._sealed(sender, task, failed(task, "the answer is larger than the broker takes"))
            sent = await self._link.publish(subject, envelope)
        self._diagnostics.count("answered" if sent else "unsent")

    def _work(self, sender: PublicKey, task: Task) -> bytes:
        """The agent's answer in its envelope; on a thread of the pool."""
        reply = answered(lambda asked: self._answer(asked, str(sender)), task, self._tell)
        try:
            return self._sealed(sender, task, reply)
        except (EnvelopeError, TypeError, ValueError) as error:  # the latter two: an answer that is no plain data
            self._tell(f"run {task.run}, round {task.round}, {task.kind}: the answer cannot be sent: {error}")
            return self._sealed(sender, task, failed(task, "the answer is too large, or no plain data"))

    def _sealed(self, sender: PublicKey, task: Task, reply: Reply) -> bytes:
        label = Label(COORDINATOR, task.run, task.round, task.expires_at)
        return seal(encode(reply), sender=self._identity, receiver=sender, label=label)


def _relay(stop: threading.Event, loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    stop.wait()
    with contextlib.suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(stopped.set)
