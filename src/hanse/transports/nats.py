"""The coordinator's transport over NATS.

Subjects: tasks go to ``hanse.task.<silo>``, replies to ``hanse.reply.<silo>.<token>``, where the token belongs to one
coordinator's transport. The broker maps a certificate to these subjects and no others, and can read none of it.

A task is sent until its reply is there or the deadline has passed, each time in a new envelope around the same task, so
that neither side must come first, stay up, or find the broker up.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hanse.errors import EnvelopeError, HanseError, TransportError, UsageError, nearest
from hanse.messages import Reply, Task, decode, encode, task_hash
from hanse.transports.base import handed_on
from hanse.transports.envelope import Label, Replays, check_size, open_sealed, seal
from hanse.transports.keys import Keyring
from hanse.transports.link import Diagnostics, Link, Message, run_loop
from hanse.transports.serving import serve
from hanse.transports.settings import COORDINATOR, CoordinatorSettings

__all__ = ["Diagnostics", "Nats", "serve"]

_AGAIN_S: Final = 1.0
_LONGEST_AGAIN_S: Final = 2.0
_ABSENT_S: Final = 0.1
_BREATH: Final = 8  # tasks sealed before replies are looked at; the first as many are written as soon as each is sealed
_TICKS: Final = 2  # of the loop, until what was published is written


def _quiet(line: str) -> None:
    """The coordinator says nothing while it waits; what was missing is in the result."""


@dataclass(eq=False)
class _Pending:
    """A task that waits for its reply, and when to send it next."""

    task: Task
    data: bytes
    digest: str
    subject: str
    exchange: _Exchange
    due: float = 0.0
    wait_s: float = _AGAIN_S

    @property
    def key(self) -> tuple[str, str]:
        """What a reply must name."""
        return self.task.silo, self.digest

    def is_of(self, reply: Reply) -> bool:
        """Whether a reply that names silo and digest belongs to the same run and round."""
        return (reply.run, reply.round) == (self.task.run, self.task.round)


@dataclass(eq=False)
class _Exchange:
    """One ``ask``: its open tasks, and where its replies go; None among them says that all tasks are on their way."""

    open: set[_Pending] = field(default_factory=set)
    replies: queue.SimpleQueue[Reply | TransportError | None] = field(default_factory=queue.SimpleQueue)
    sent: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    sending: asyncio.Task[None] | None = None
    reached: bool = False


class Nats:
    """The coordinator's transport; connects at the first ``ask``, and stays connected until ``close``.

    Args:
        settings: of coordinator.toml.
        subjects: for silos whose name is not their subject: the subject by name. Several silos may share one; a name
            ``subject/store`` needs no entry.
        tell: takes a line for a person when the connection breaks or is waited for; silent without it.
    """

    def __init__(
        self,
        settings: CoordinatorSettings,
        *,
        subjects: Mapping[str, str] | None = None,
        tell: Callable[[str], None] = _quiet,
    ) -> None:
        self.diagnostics = Diagnostics()
        self._settings = settings
        self._identity = settings.connection.own_identity()
        self._subjects = dict(subjects or {})
        self._keyrings = {subject: Keyring([key]) for subject, key in settings.silos.items()}
        self._tell = tell
        self._token = secrets.token_hex(8)
        self._replays = Replays()
        self._pending: dict[tuple[str, str], _Pending] = {}
        self._exchanges: set[_Exchange] = set()
        self._failure: TransportError | None = None
        self._again: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._link = Link(
            settings.connection,
            f"hanse.reply.*.{self._token}",
            self._receive,
            self._all_due,
            tell,
            self.diagnostics,
        )

    def silos(self) -> Sequence[str]:
        """The silos that can be asked, sorted."""
        return sorted({*self._settings.silos, *self._subjects})

    def ask(
        self, tasks: Mapping[str, Task], timeout_s: float, meanwhile: Callable[[], object] | None = None
    ) -> Iterator[Reply]:
        """Ask silos over the broker; see :meth:`hanse.transports.base.Transport.ask`.

        Raises:
            UsageError: a silo that coordinator.toml has no key for.
            TransportError: a task is too large; the broker refuses this party, or was not reached before the deadline.
        """
        exchange = _Exchange()
        for silo, task in tasks.items():
            pending = _Pending(task, encode(task), task_hash(task), self._subject(silo), exchange)
            check_size(len(pending.data), f"silo {silo}, {task.kind}: the task")
            exchange.open.add(pending)
        return self._ask(exchange, timeout_s, meanwhile)

    def close(self) -> None:
        """End the connection and its thread; what is on its way is dropped."""
        loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _subject(self, silo: str) -> str:
        subject = self._subjects.get(silo, silo if silo in self._settings.silos else silo.partition("/")[0])
        if subject not in self._settings.silos:
            raise UsageError(
                f"silo {silo}: coordinator.toml has no key for {subject}: {nearest(subject, self._settings.silos)}"
            )
        return subject

    def _ask(self, exchange: _Exchange, timeout_s: float, meanwhile: Callable[[], object] | None) -> Iterator[Reply]:
        deadline = time.monotonic() + timeout_s
        left = len(exchange.open)
        if not left:
            return
        loop = self._started()
        loop.call_soon_threadsafe(self._open, exchange)
        try:
            for got in handed_on(exchange.replies, deadline):
                if isinstance(got, TransportError):
                    raise got
                if got is not None:
                    left -= 1
                    yield got
                    if not left:
                        return
                if meanwhile is not None:
                    meanwhile()
                    meanwhile = None
            if not exchange.reached:
                raise TransportError(
                    f"the broker at {self._settings.connection.server} was not reached within {timeout_s:g} s: is it "
                    "running (nats-server -c .../broker/nats.conf), and is the address right?"
                )
        finally:
            if self._loop is loop:
                loop.call_soon_threadsafe(self._shut, exchange)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._failure = None
            self._thread = threading.Thread(
                target=run_loop, args=(self._loop, self._connected()), name="hanse-nats", daemon=True
            )
            self._thread.start()
        return self._loop

    # All that follows runs on the transport's own thread.

    async def _connected(self) -> None:
        try:
            await self._link.run()
        except HanseError as error:
            failure = error if isinstance(error, TransportError) else TransportError(str(error))
            self._failure = failure
            for exchange in self._exchanges:
                exchange.replies.put(failure)

    def _open(self, exchange: _Exchange) -> None:
        self._exchanges.add(exchange)
        if self._failure is not None:  # whatever was wrong may have been put right since
            self._failure = None
            self._again = asyncio.ensure_future(self._connected())
        for pending in exchange.open:
            self._pending[pending.key] = pending
        exchange.sending = asyncio.ensure_future(self._send(exchange))

    def _shut(self, exchange: _Exchange) -> None:
        self._exchanges.discard(exchange)
        for pending in exchange.open:
            self._pending.pop(pending.key, None)
        exchange.open.clear()
        exchange.wake.set()

    def _all_due(self) -> None:
        """The connection stands, for the first time or again: whatever is open is sent at once."""
        for exchange in self._exchanges:
            for pending in exchange.open:
                pending.due, pending.wait_s = 0.0, _AGAIN_S
            exchange.wake.set()

    async def _send(self, exchange: _Exchange) -> None:
        """Send what is due until nothing is open."""
        while exchange.open:
            exchange.wake.clear()
            now = time.monotonic()
            for number, pending in enumerate([p for p in exchange.open if p.due <= now]):
                if number < _BREATH or number % _BREATH == 0:
                    await asyncio.sleep(0)
                if pending in exchange.open and not await self._send_one(pending):
                    break
            else:
                await self._told_once(exchange)
            if not self._link.connected:
                await exchange.wake.wait()
            elif exchange.open:
                rest = min(p.due for p in exchange.open) - time.monotonic()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(exchange.wake.wait(), max(0.01, rest))

    async def _told_once(self, exchange: _Exchange) -> None:
        """Tell who waits that all tasks are on their way, and not before: its own work would hold them up."""
        if not exchange.sent:
            exchange.sent = True
            for _ in range(_TICKS):
                await asyncio.sleep(0)
            exchange.replies.put(None)

    async def _send_one(self, pending: _Pending) -> bool:
        task = pending.task
        label = Label(pending.subject, task.run, task.round, task.expires_at)
        receiver = self._settings.silos[pending.subject]
        envelope = seal(pending.data, sender=self._identity, receiver=receiver, label=label)
        try:
            sent = await self._link.publish(
                f"hanse.task.{pending.subject}", envelope, f"hanse.reply.{pending.subject}.{self._token}"
            )
        except TransportError as error:
            pending.exchange.replies.put(TransportError(f"silo {task.silo}, {task.kind}: {error}"))
            self._shut(pending.exchange)
            return False
        if sent:
            self.diagnostics.count("sent")
            pending.exchange.reached = True
            pending.due = time.monotonic() + pending.wait_s
            pending.wait_s = min(2 * pending.wait_s, _LONGEST_AGAIN_S)
        return sent

    def _receive(self, message: Message) -> None:
        subject = message.subject.split(".")[2]
        if message.absent:
            self._absent(subject)
            return
        try:
            self._accept(self._opened(message.data, subject), subject)
        except EnvelopeError as error:
            self.diagnostics.count(error.code)

    def _absent(self, subject: str) -> None:
        """Nobody listens there yet: look again soon."""
        self.diagnostics.count("absent")
        soon = time.monotonic() + _ABSENT_S
        for pending in self._pending.values():
            if pending.subject == subject:
                pending.due, pending.wait_s = soon, _AGAIN_S
                pending.exchange.wake.set()

    def _opened(self, data: bytes, subject: str) -> Reply:
        if subject not in self._keyrings:
            raise EnvelopeError("unknown", f"a reply from {subject}, which is no silo of this coordinator")
        opened = open_sealed(
            data,
            receiver=self._identity,
            audience=COORDINATOR,
            senders=self._keyrings[subject],
            replays=self._replays,
        )
        try:
            reply: Reply = decode(opened.message, Reply)
        except (ValueError, RecursionError):
            raise EnvelopeError("malformed", "the message is no reply") from None
        if (reply.run, reply.round) != (opened.label.run, opened.label.round):
            raise EnvelopeError("mismatch", "the reply and its envelope name different rounds")
        return reply

    def _accept(self, reply: Reply, subject: str) -> None:
        pending = self._pending.get((reply.silo, reply.task_hash))
        if pending is None or pending.subject != subject or not pending.is_of(reply):
            raise EnvelopeError("unasked", "no open task has this reply: it came before, too late, or for nobody")
        del self._pending[pending.key]
        pending.exchange.open.discard(pending)
        pending.exchange.replies.put(reply)
        if not pending.exchange.open:
            pending.exchange.wake.set()
        self.diagnostics.count("accepted")
