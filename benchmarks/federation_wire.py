"""A federation on loopback for benchmarks: its broker, silos in processes of their own, and the broker's bare round."""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hanse.federation import setup
from hanse.federation.config import SiloConfig
from hanse.federation.ledger import Entry, Ledger
from hanse.federation.policy import Policy
from hanse.federation.silo import Silo
from hanse.messages import Reply, Task, encode, task_hash
from hanse.transports.nats import serve
from hanse.transports.settings import ConnectionSettings, CoordinatorSettings

__all__ = ["POLICY", "bare_rounds", "broker", "missing_broker", "served"]

POLICY = Policy(exact_rounds=True, runs_per_day=1_000_000, cells_per_day=1_000_000_000)

Server = Callable[[Path, Sequence[str]], None]


def missing_broker() -> str | None:
    """Why there is no broker; None if there is."""
    return None if _program() else "nats-server is neither beside this Python nor on the path"


def _program() -> str | None:
    beside = Path(sys.executable).parent / "nats-server"
    return str(beside) if beside.is_file() else shutil.which("nats-server")


@contextmanager
def broker(league: Path, parties: Sequence[str]) -> Iterator[None]:
    """A new federation in a folder, and its broker while the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    setup.init(league, parties, port=port)
    process = subprocess.Popen([str(_program()), "-c", str(league / "broker" / "nats.conf")], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def served(server: str, league: Path, processes: Sequence[Sequence[str]]) -> Iterator[None]:
    """Some parties, served in processes while the block lasts.

    Args:
        server: a key of :data:`SERVERS`.
        league: the federation.
        processes: the parties that each process serves.
    """
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=SERVERS[server], args=(league, parties), daemon=True) for parties in processes]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _settings(league: Path, party: str) -> ConnectionSettings:
    table = tomllib.loads((league / party / "silo.toml").read_text())["federation"]
    return ConnectionSettings.from_table(table, league / party)


def _serve(league: Path, agents: dict[str, Callable[[Task, str], Reply]]) -> None:
    threads = []
    for party, answer in agents.items():
        options = {"stop": threading.Event(), "tell": lambda line: None}
        arguments = (_settings(league, party), answer)
        threads.append(threading.Thread(target=serve, args=arguments, kwargs=options, daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join()


def _serve_real(league: Path, parties: Sequence[str]) -> None:
    """Agents over ``PARTY.duckdb``."""
    agents: dict[str, Callable[[Task, str], Reply]] = {}
    for party in parties:
        silo = Silo(SiloConfig.embedded(party, league / party / f"{party}.duckdb", POLICY))
        agents[party] = lambda task, key, silo=silo: silo.answer(task, coordinator=key)  # type: ignore[misc]  # bound now
    _serve(league, agents)


def _serve_simulated(league: Path, parties: Sequence[str]) -> None:
    """Agents without data, that write the same answer to every task into a ledger before they give it."""
    _serve(league, {party: _simulated(Ledger(league / party / "simulated.ledger")) for party in parties})


def _simulated(ledger: Ledger) -> Callable[[Task, str], Reply]:
    rows = [250.0, 251.0, 252.0, 253.0]
    statistics: dict[str, Any] = {
        "count": rows,
        "weight": rows,
        "sum": [[0.123456789 * n] * 4 for n in rows],
        "square": [0.987654321 * n for n in rows],
    }

    def answer(task: Task, coordinator: str) -> Reply:
        hash_ = task_hash(task)
        reply = Reply(
            run=task.run, round=task.round, silo=task.silo, task_hash=hash_, status="ok", statistics=statistics
        )
        payload = encode(reply)
        ledger.append(
            Entry(
                seq=0,
                time="",
                decision="released",
                coordinator=coordinator,
                silo=task.silo,
                run=task.run,
                round=task.round,
                kind=task.kind,
                task=hash_,
                payload=payload.decode(),
                payload_sha256=hashlib.sha256(payload).hexdigest(),
                size_bytes=len(payload),
            )
        )
        return reply

    return answer


# -- the broker's bare round ------------------------------------------------------------------


def _serve_bare(league: Path, parties: Sequence[str]) -> None:
    asyncio.run(_echo(league, parties))


async def _echo(league: Path, parties: Sequence[str]) -> None:
    from nats.aio.client import Client, Msg

    for party in parties:
        settings, client = _settings(league, party), Client()

        async def back(message: Msg, client: Client = client) -> None:
            await client.publish(message.reply, message.data)

        await client.connect(settings.server, tls=settings.tls())
        await client.subscribe(f"hanse.task.{party}", cb=back)
        await client.flush()
    await asyncio.Event().wait()


def bare_rounds(league: Path, silos: Sequence[str], size_bytes: int, count: int) -> list[float]:
    """Seconds of rounds with the same number of bytes to every silo and back, and nothing else."""
    return asyncio.run(_bare_rounds(CoordinatorSettings.load(league / "coordinator.toml"), silos, size_bytes, count))


async def _bare_rounds(settings: CoordinatorSettings, silos: Sequence[str], size_bytes: int, count: int) -> list[float]:
    from nats.aio.client import Client, Msg

    client, token = Client(), secrets.token_hex(8)
    came: asyncio.Queue[int] = asyncio.Queue()

    async def got(message: Msg) -> None:
        came.put_nowait(len(message.data))

    await client.connect(settings.connection.server, tls=settings.connection.tls())
    await client.subscribe(f"hanse.reply.*.{token}", cb=got)
    data, took = bytes(size_bytes), []
    parties = sorted({silo.partition("/")[0] for silo in silos})
    while parties:  # until every party listens; who does not is told by an empty message
        await client.publish(f"hanse.task.{parties[0]}", data, reply=f"hanse.reply.{parties[0]}.{token}")
        if await came.get():
            parties.pop(0)
    for _ in range(count):
        begin = time.perf_counter()
        for silo in silos:
            party = silo.partition("/")[0]
            await client.publish(f"hanse.task.{party}", data, reply=f"hanse.reply.{party}.{token}")
        for _ in silos:
            await came.get()
        took.append(time.perf_counter() - begin)
    await client.close()
    return took


SERVERS: dict[str, Server] = {"real": _serve_real, "simulated": _serve_simulated, "bare": _serve_bare}
"""What a process of silos may be."""
