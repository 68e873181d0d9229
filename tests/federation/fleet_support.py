"""A federation over rows of a test's own: silos served in processes of their own, and a broker that keeps what it sees."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nats
from federation_support import Broker, free_port
from nats.js.api import StorageType, StreamConfig
from stores_support import Hanse

from hanse.federation import setup
from hanse.federation.certificates import Authority

__all__ = ["PAGES", "Fleet", "Spy"]

PAGES = (
    "varz",
    "connz?subs=detail&auth=true&state=any",
    "routez?subs=detail",
    "gatewayz",
    "leafz?subs=true",
    "subsz?subs=1",
    "accountz",
    "accstatz?unused=1",
    "jsz?accounts=true&streams=true&consumers=true&config=true",
    "healthz",
)
"""The broker's monitoring, as talkative as it can be."""


class Spy:
    """A broker that stores every message on disk, logs every byte and is monitored: the worst that a host can do.

    Its auditor has a certificate of the same authority and may do anything; a stream of JetStream takes whatever passes.

    Args:
        league: as ``hanse federation init`` made it; its broker has not started yet.
    """

    def __init__(self, league: Path) -> None:
        self.store = league.parent / "jetstream"
        self.monitoring = free_port()
        self._folder = league.parent / "auditor"
        self._folder.mkdir()
        self._ca = league / "ca" / "ca.pem"
        uri = f"hanse:auditor/{secrets.token_hex(8)}"
        pair = Authority.load(self._ca.read_bytes(), (league / "ca" / "ca.key").read_bytes()).party("auditor", uri)
        (self._folder / "certificate.pem").write_bytes(pair.certificate)
        (self._folder / "certificate.key").write_bytes(pair.key)
        parties = league / "broker" / "parties.conf"
        user = f'{{ user: "{uri}", permissions: {{ publish: [">"], subscribe: [">"] }} }}'
        text = parties.read_text()
        assert text.count("users: [\n") == 1
        parties.write_text(text.replace("users: [\n", f"users: [\n    {user}\n"))
        with (league / "broker" / "nats.conf").open("a") as file:
            file.write(f'\njetstream {{ store_dir: "{self.store}" }}\nhttp: "127.0.0.1:{self.monitoring}"\n')

    def begin(self, server: str) -> None:
        """Keep everything that passes from now on."""
        config = StreamConfig(name="everything", subjects=["hanse.>"], storage=StorageType.FILE, no_ack=True)
        self._ask(server, lambda stream: stream.add_stream(config))

    def send(self, server: str, data: bytes) -> None:
        """Send bytes as they are, to see that they are found."""

        async def send(stream: Any) -> None:
            await stream._nc.publish("hanse.planted", data)
            await stream._nc.flush()

        self._ask(server, send)

    def kept(self, server: str) -> list[tuple[str, bytes]]:
        """Every message of the stream: subject and data."""
        found: list[tuple[str, bytes]] = []

        async def read(stream: Any) -> None:
            state = (await stream.stream_info("everything")).state
            for number in range(state.first_seq, state.last_seq + 1):
                message = await stream.get_msg("everything", number)
                found.append((message.subject, message.data or b""))

        self._ask(server, read)
        return found

    def pages(self) -> dict[str, bytes]:
        """What the monitoring tells."""
        read = {}
        for page in PAGES:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.monitoring}/{page}") as answer:
                read[page] = answer.read()
        return read

    def files(self) -> dict[str, bytes]:
        """What lies in the broker's storage, names of files included."""
        found = {str(path.relative_to(self.store)): path for path in self.store.rglob("*") if path.is_file()}
        return {name: name.encode() + b"\n" + path.read_bytes() for name, path in found.items()}

    def _ask(self, server: str, action: Callable[[Any], Any]) -> None:
        context = ssl.create_default_context(cafile=str(self._ca))
        context.load_cert_chain(self._folder / "certificate.pem", self._folder / "certificate.key")

        async def run() -> None:
            client = await nats.connect(server, tls=context, connect_timeout=10)
            try:
                await action(client.jetstream())
            finally:
                await client.close()

        asyncio.run(run())


class Fleet:
    """Silos over a real broker.

    Args:
        folder: a new one.
        silos: for each the rest of its silo.toml: what it publishes, and its policy.
        fill: makes a silo's database; called with its name and file.
        spied: whether the broker keeps what it sees.
    """

    def __init__(
        self, folder: Path, silos: Mapping[str, str], fill: Callable[[str, Path], None], *, spied: bool = False
    ) -> None:
        self.league = folder / "league"
        port = free_port()
        setup.init(self.league, list(silos), port=port)
        self.server = f"tls://127.0.0.1:{port}"
        self.coordinator = self.league / "coordinator.toml"
        for name, text in silos.items():
            fill(name, self.league / name / f"{name}.duckdb")
            with (self.league / name / "silo.toml").open("a") as file:
                file.write(text)
        self.spy = Spy(self.league) if spied else None
        self.broker = Broker(self.league / "broker" / "nats.conf", *(["-DV"] if spied else []), cwd=folder).start()
        if self.spy is not None:
            self.spy.begin(self.server)
        self.served = [Hanse("silo", "serve", "--config", str(self.league / n / "silo.toml")) for n in silos]
        for process in self.served:
            process.log.wait("is ready")

    def close(self) -> None:
        """Kill it all."""
        for process in self.served:
            process.kill()
        self.broker.kill()

    def ledger(self, name: str) -> Path:
        return self.league / name / f"{name}.ledger"

    def exports(self, name: str) -> list[dict[str, Any]]:
        """A silo's ledger as its owner reads it: ``hanse silo ledger --format json``."""
        process = Hanse("silo", "ledger", "--config", str(self.league / name / "silo.toml"), "--format", "json")
        assert process.ended() == 0, process.log.text
        return [json.loads(line) for line in process.out.text.splitlines()]
