"""What the wire itself costs: a signed and sealed request round over NATS under mutual TLS, on loopback.

Prints medians: two silos in two processes; and 1,000 simulated silos in one process over four connections, as stores of
four parties. The agent answers at once. Beside them, in the same run, the same rounds without a wire.

    python -m benchmarks.federation_wire
"""

from __future__ import annotations

import multiprocessing
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hanse.federation import setup
from hanse.messages import Reply, Task, task_hash
from hanse.transports.base import Transport
from hanse.transports.inprocess import InProcess
from hanse.transports.nats import Nats, serve
from hanse.transports.settings import ConnectionSettings, CoordinatorSettings

PARTIES = ("a", "b", "c", "d")
CELLS, FEATURES = 8, 4


def answer(task: Task) -> Reply:
    return Reply(
        run=task.run,
        round=task.round,
        silo=task.silo,
        task_hash=task_hash(task),
        status="ok",
        statistics={"count": [1000.0] * CELLS, "sum": [[0.123456789] * FEATURES] * CELLS},
    )


def tasks_for(silos: Sequence[str], round_: int) -> Mapping[str, Task]:
    return {
        silo: Task(
            run="0" * 32,
            round=round_,
            silo=silo,
            nonce=secrets.token_hex(16),
            expires_at=time.time() + 60,
            kind="observe",
            relation="customer_features",
            features=("f0", "f1", "f2", "f3"),
            strategy="rounds",
            state={"centroids": [[0.987654321] * FEATURES] * CELLS},
        )
        for silo in silos
    }


def rounds(transport: Transport, silos: Sequence[str], count: int) -> float:
    """The median of ``count`` rounds, in milliseconds; two more go before, unmeasured."""
    took = []
    for round_ in range(-2, count):
        tasks = tasks_for(silos, round_ + 2)
        begin = time.perf_counter()
        replies = list(transport.ask(tasks, 60))
        took.append(1000 * (time.perf_counter() - begin))
        assert len(replies) == len(silos), f"{len(replies)} of {len(silos)} answered"
    return statistics.median(took[2:])


def serve_parties(league: Path, parties: Sequence[str]) -> None:
    threads = []
    for party in parties:
        folder = league / party
        table = tomllib.loads((folder / "silo.toml").read_text())["federation"]
        settings = ConnectionSettings.from_table(table, folder)
        options = {"stop": threading.Event(), "tell": lambda line: None}
        threads.append(
            threading.Thread(target=serve, args=(settings, lambda task, _: answer(task)), kwargs=options, daemon=True)
        )
        threads[-1].start()
    for thread in threads:
        thread.join()


def measure(league: Path, processes: Sequence[Sequence[str]], silos: Sequence[str], count: int) -> float:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=serve_parties, args=(league, parties), daemon=True) for parties in processes]
    for worker in workers:
        worker.start()
    transport = Nats(CoordinatorSettings.load(league / "coordinator.toml"))
    try:
        return rounds(transport, silos, count)
    finally:
        transport.close()
        for worker in workers:
            worker.kill()
            worker.join()


def without_wire(silos: Sequence[str], count: int) -> float:
    transport = InProcess(dict.fromkeys(silos, answer))
    try:
        return rounds(transport, silos, count)
    finally:
        transport.close()


def main() -> None:
    beside = Path(sys.executable).parent / "nats-server"
    server = str(beside) if beside.is_file() else shutil.which("nats-server")
    if server is None:
        raise SystemExit("nats-server is neither beside this Python nor on the path")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    two, thousand = PARTIES[:2], [f"{PARTIES[n % 4]}/{n}" for n in range(1000)]
    with tempfile.TemporaryDirectory() as folder:
        league = Path(folder) / "league"
        setup.init(league, PARTIES, port=port)
        broker = subprocess.Popen([server, "-c", str(league / "broker" / "nats.conf")], stderr=subprocess.DEVNULL)
        try:
            measured: list[tuple[str, Callable[[], float]]] = [
                ("2 silos, NATS, a process each", lambda: measure(league, [["a"], ["b"]], two, 300)),
                ("2 silos, in process", lambda: without_wire(two, 300)),
                ("1,000 silos, NATS, one process", lambda: measure(league, [PARTIES], thousand, 5)),
                ("1,000 silos, in process", lambda: without_wire(thousand, 5)),
            ]
            for name, take in measured:
                print(f"{name:<32} {take():9.2f} ms a round", flush=True)
        finally:
            broker.kill()
            broker.wait()


if __name__ == "__main__":
    main()
