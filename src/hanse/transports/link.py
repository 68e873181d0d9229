"""One party's connection to a NATS broker, made anew whenever it breaks; the only file that knows the nats package."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hanse.errors import TransportError, UsageError
from hanse.transports.settings import ConnectionSettings

try:
    import nats.errors
    from nats.aio.client import Client
except ImportError:
    raise UsageError("a federation over NATS needs nats-py: pip install 'hanse[nats]'") from None

if TYPE_CHECKING:
    from nats.aio.msg import Msg

__all__ = ["Diagnostics", "Link", "Message", "ignore_unheard", "run_loop"]

_FIRST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 1.0
_CONNECT_S: Final = 5
_CLOSE_S: Final = 2.0
_LOOK_S: Final = 0.25
_PING_S: Final = 5
_ABRUPT_ENDS: Final = 3
_NO_RESPONDERS: Final = "503"

_log = logging.getLogger("nats")  # its errors are translated here; its own lines would say them again, in its words
_log.addHandler(logging.NullHandler())
_log.propagate = False


def _is_news(record: logging.LogRecord) -> bool:
    """False for what asyncio says whenever a TLS peer closes a stream that nats-py opened; that is no news."""
    return "eof_received()" not in record.getMessage()


logging.getLogger("asyncio").addFilter(_is_news)


@dataclass(frozen=True)
class Message:
    """What came off the wire, unopened.

    Args:
        subject: where it was sent to.
        reply: where an answer goes, or empty.
        data: the bytes.
        absent: the broker says that nobody listens on the subject of a request; there are no bytes.
    """

    subject: str
    reply: str
    data: bytes
    absent: bool


class Diagnostics:
    """How often what happened, by a short code; thread-safe.

    >>> diagnostics = Diagnostics()
    >>> diagnostics.count("expired")
    1
    >>> diagnostics.counts
    {'expired': 1}
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, code: str) -> int:
        """Count one more; returns how many there are."""
        with self._lock:
            self._counts[code] += 1
            return self._counts[code]

    @property
    def counts(self) -> Mapping[str, int]:
        """How often, by code: ``connected``, ``sent``, ``accepted``, ``duplicate``, ``expired`` ..."""
        with self._lock:
            return dict(sorted(self._counts.items()))


class _UnreachableError(TransportError):
    """Nobody answers at the broker's address, or not yet."""


class Link:
    """Keeps one subscription alive over a connection that may come and go; lives on one event loop.

    Args:
        settings: of this party.
        subject: what to subscribe to.
        receive: takes each message; must not raise.
        up: called whenever the subscription stands, the first time and after each break.
        tell: takes a line for a person.
        diagnostics: counts connections.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        subject: str,
        receive: Callable[[Message], None],
        up: Callable[[], None],
        tell: Callable[[str], None],
        diagnostics: Diagnostics,
    ) -> None:
        self._settings = settings
        self._subject = subject
        self._receive = receive
        self._up = up
        self._tell = tell
        self._diagnostics = diagnostics
        self._client: Client | None = None
        self._problem: Exception | None = None
        self._told = ""
        self._was_up = False

    @property
    def connected(self) -> bool:
        """Whether a message sent now would reach the broker."""
        return self._client is not None and self._client.is_connected

    async def run(self) -> None:
        """Connect, and connect again, until cancelled.

        Raises:
            TransportError: the broker refuses this party, or is not the one that its certificate authority vouches
                for; only before the first connection stands. Afterwards it is told, and tried again.
        """
        wait_s, abrupt = _FIRST_WAIT_S, 0
        context = self._settings.tls()
        while True:
            closed = asyncio.Event()
            try:
                await self._connect(context, closed)
                self._stands()
                wait_s, abrupt = _FIRST_WAIT_S, 0
                await self._ended(closed)
                self._say(f"the connection to {self._settings.server} broke; connecting again")
            except _UnreachableError as error:
                self._say(str(error))
            except ConnectionError as error:
                abrupt += 1
                if abrupt >= _ABRUPT_ENDS:
                    self._refused(_ends_at_once(self._settings, error))
            except TransportError as error:
                self._refused(error)
            finally:
                await self._drop()
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def publish(self, subject: str, data: bytes, reply: str = "") -> bool:
        """Send, or return False where there is no connection; a lost message is the caller's to send again.

        Raises:
            TransportError: the broker takes no message as large as this.
        """
        client = self._client
        if client is None or not client.is_connected:
            return False
        if len(data) > client.max_payload:
            raise TransportError(
                f"a message of {len(data):,} bytes, and the broker at {self._settings.server} takes "
                f"{client.max_payload:,}: raise max_payload in its nats.conf"
            )
        try:
            await client.publish(subject, data, reply=reply)
        except (nats.errors.Error, OSError):
            return False
        return True

    async def _connect(self, context: ssl.SSLContext, closed: asyncio.Event) -> None:
        self._problem = None

        async def failed(error: Exception) -> None:
            self._problem = error

        async def ended() -> None:
            closed.set()

        client = self._client = Client()
        options: dict[str, Any] = {
            "allow_reconnect": False,  # a new connection is made here, so that errors can be told apart
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": _FIRST_WAIT_S,
            "connect_timeout": _CONNECT_S,
            "ping_interval": _PING_S,
            "flush_timeout": _CONNECT_S,
            "name": self._settings.subject,
        }
        try:
            await client.connect(
                self._settings.server, tls=context, error_cb=failed, closed_cb=ended, disconnected_cb=ended, **options
            )
            if not client.is_connected:
                raise self._problem or ConnectionError("the broker ended the connection")
            if not _is_encrypted(client):
                raise TransportError(f"the broker at {self._settings.server} has no TLS: start it with its nats.conf")
            await client.subscribe(self._subject, cb=self._got)
            for _ in range(2):  # nats-py sends a ping before what is still in its buffer; the second one comes after it
                await client.flush(timeout=_CONNECT_S)
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise self._translated(self._problem or error) from None
        if self._problem is not None:
            raise self._translated(self._problem)

    async def _ended(self, closed: asyncio.Event) -> None:
        """Wait for the connection's end; nats-py does not always tell it when the last bytes could not be written."""
        while self.connected and not closed.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(closed.wait(), _LOOK_S)

    async def _got(self, message: Msg) -> None:
        headers = message.headers or {}
        absent = headers.get("Status") == _NO_RESPONDERS and not message.data
        self._receive(Message(message.subject, message.reply, message.data, absent))

    def _stands(self) -> None:
        self._was_up = True
        self._told = ""
        self._diagnostics.count("connected")
        self._up()

    def _say(self, line: str) -> None:
        """Tell a line, but not the same one over and over."""
        if line != self._told:
            self._told = line
            self._tell(line)

    def _refused(self, error: TransportError) -> None:
        if not self._was_up:
            raise error
        self._say(f"{error}; trying again")

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        if client.is_connected:
            with contextlib.suppress(nats.errors.Error, OSError, asyncio.TimeoutError):
                await asyncio.wait_for(client.close(), _CLOSE_S)
        writer = getattr(getattr(client, "_transport", None), "_bare_io_writer", None)
        if writer is not None:  # TLS waits for the other end's farewell, which a broker that hangs never sends
            writer.transport.abort()

    def _translated(self, error: Exception) -> Exception:
        """A foreign exception as a TransportError with its cure, or as one that says: try again."""
        server, text = self._settings.server, str(error).lower()
        if isinstance(error, ssl.SSLCertVerificationError):
            return TransportError(
                f"the broker at {server} shows a certificate that {self._settings.ca} does not vouch for "
                f"({error.verify_message}): use the ca.pem made with the broker's, and the host that it was made for"
            )
        if "authorization violation" in text:
            return TransportError(
                f"the broker at {server} does not know the certificate {self._settings.certificate}: it was rotated or "
                "revoked, or the broker has not read its parties.conf again (nats-server --signal reload)"
            )
        if "permissions violation" in text:
            return TransportError(
                f"the broker at {server} does not let the certificate {self._settings.certificate} do this ({error}): "
                f"subject = {self._settings.subject!r} must be the party that the certificate was made for"
            )
        if isinstance(error, ssl.SSLError) and any(word in text for word in ("alert", "certificate")):
            return TransportError(
                f"the broker at {server} refuses the certificate {self._settings.certificate} "
                f"({(error.reason or 'TLS').lower().replace('_', ' ')}): hanse federation rotate makes a new one"
            )
        if isinstance(error, ConnectionRefusedError | nats.errors.NoServersError | asyncio.TimeoutError):
            return _UnreachableError(f"waiting for the broker at {server}")
        if isinstance(error, ConnectionError | nats.errors.UnexpectedEOF):
            return ConnectionError(str(error))
        return _UnreachableError(f"waiting for the broker at {server} ({error})")


def _ends_at_once(settings: ConnectionSettings, error: Exception) -> TransportError:
    return TransportError(
        f"the broker at {settings.server} ends each connection at once ({error}): it refuses the certificate "
        f"{settings.certificate} (is it of the broker's own certificate authority?), or it is no NATS server"
    )


def _is_encrypted(client: Client) -> bool:
    """Whether TLS stands: nats-py goes on without it when the other end does not ask for it."""
    writer = getattr(getattr(client, "_transport", None), "_io_writer", None)
    return writer is not None and writer.get_extra_info("ssl_object") is not None


def run_loop(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, None]) -> None:
    """Run an event loop until it is stopped, then cancel all that runs on it and close it; for a thread of its own."""
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(ignore_unheard)
    kept = loop.create_task(main)
    try:
        loop.run_forever()
    finally:
        kept.cancel()
        for _ in range(2):  # closing a connection starts a task of its own
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def ignore_unheard(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """What ends inside a broken connection is not news: the connection is made again."""
    _log.debug("%s", context.get("message"))
