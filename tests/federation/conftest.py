"""What the tests of the federation share: a federation on disk, its broker, its silos."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from federation_support import Broker, Serving, SiloProcess, free_port, nats_server  # needs the line above
from ledger_watch import ledgers_hold_no_small_cell, watched_ledgers  # every ledger of every test is looked at

from hanse.federation import setup
from hanse.transports.nats import Nats
from hanse.transports.settings import ConnectionSettings, CoordinatorSettings

__all__ = ["ledgers_hold_no_small_cell", "watched_ledgers"]


@pytest.fixture
def league(tmp_path: Path) -> Path:
    """A federation of silos a and b, on a free port; no broker runs."""
    setup.init(tmp_path / "league", ["a", "b"], port=free_port())
    return tmp_path / "league"


@pytest.fixture
def make_broker(league: Path) -> Iterator[Callable[..., Broker]]:
    """Starts the league's broker; it is killed in the end."""
    nats_server()
    made: list[Broker] = []

    def make(*arguments: str, conf: Path | None = None, cwd: Path | None = None) -> Broker:
        made.append(Broker(conf or league / "broker" / "nats.conf", *arguments, cwd=cwd))
        return made[-1].start()

    yield make
    for one in made:
        one.kill()


@pytest.fixture
def broker(make_broker: Callable[..., Broker]) -> Broker:
    """The league's broker, running."""
    return make_broker()


@pytest.fixture
def connection(league: Path) -> Callable[[str], ConnectionSettings]:
    """A silo's settings, as its silo.toml has them."""

    def read(silo: str) -> ConnectionSettings:
        table = tomllib.loads((league / silo / "silo.toml").read_text())["federation"]
        return ConnectionSettings.from_table(table, league / silo)

    return read


@pytest.fixture
def coordinator(league: Path) -> Iterator[Nats]:
    """The league's coordinator."""
    transport = Nats(CoordinatorSettings.load(league / "coordinator.toml"))
    yield transport
    transport.close()


@pytest.fixture
def serving(connection: Callable[[str], ConnectionSettings]) -> Iterator[Callable[..., Serving]]:
    """Starts a silo on a thread; it is stopped in the end."""
    made: list[Serving] = []

    def start(silo: str, **options: object) -> Serving:
        made.append(Serving(connection(silo), **options))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def silo_process(league: Path) -> Iterator[Callable[..., SiloProcess]]:
    """Starts a silo in a process of its own; it is killed in the end."""
    made: list[SiloProcess] = []

    def start(silo: str, mode: str = "echo") -> SiloProcess:
        made.append(SiloProcess(league / silo / "silo.toml", mode))
        return made[-1]

    yield start
    for one in made:
        one.kill()
