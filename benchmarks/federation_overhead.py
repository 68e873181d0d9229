"""What a round over silos costs beside the statistics' own query: in process, and over NATS on loopback."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks import federation_wire
from benchmarks.bench import Bench
from benchmarks.federation_wire import POLICY, bare_rounds, broker, served
from benchmarks.report import Measurement, Table, Target, Timing, seconds
from hanse.collector import patient
from hanse.engines.duckdb import DuckDB
from hanse.federation.config import SiloConfig
from hanse.federation.coordinator import Coordinator
from hanse.federation.journal import Journal, Run
from hanse.federation.plan import FederatedOptions, Plan
from hanse.federation.silo import Silo
from hanse.messages import encode
from hanse.models.codec import state_to_plain
from hanse.models.kmeans import KMeans, KMeansState
from hanse.registry import Registry
from hanse.transports.base import Transport
from hanse.transports.inprocess import InProcess
from hanse.transports.nats import Nats
from hanse.transports.settings import CoordinatorSettings

__all__ = ["measure"]

ROWS = 1_000
FEATURES = ("a", "b", "c", "d")
PARTIES = ("p", "q", "r", "s")
APART = 10.0
CENTROIDS = np.arange(4.0)[:, None] * np.full(4, APART)
ESTIMATOR = KMeans(num_clusters=len(CENTROIDS))
ENVELOPE_BYTES = 300  # about what signature, label and seal add

_HOW = (
    f"A round is one step of k-means, k = {len(CENTROIDS)}, over {len(FEATURES)} features; its centroids are drawn "
    "anew. A real coordinator asks it and writes every reply into its journal. In process, and with two silos over "
    "NATS, the silos are real as well: policy, snapshot, gate and ledger over "
    f"{ROWS:,} customers each. A thousand silos are "
    "simulated, as stores of four parties, each party in a process of its own as in earnest: each answers at once, "
    "and its answer is in its party's ledger before it is sent. Over NATS everything is signed, sealed and under "
    "mutual TLS, on loopback.",
    "Beside the rounds, in turn with them, run the statistics' own queries: built, executed and read, as local "
    "training does it. In process they are those of as many stores, side by side on as many threads, so that a "
    "second core helps them as it helps the round; what is left of a round without them is divided by the number "
    "of silos. *In turn* are the same queries one after the other, as local training over several holders takes them. "
    "Over NATS it is the query of one store alone, though two silos share the machine with the broker "
    "and the coordinator. *Planned* are the same queries, side by side, over a silo's own copy of its rows: it holds "
    "few rows in memory and keeps the plans of its queries, as local training does not; beside them everything "
    "else that silos, coordinator and wire do is left. *Bare* is a round of as many bytes through the same broker "
    "under the same TLS, without envelope, agent or ledger.",
)


def measure(bench: Bench) -> Measurement:
    """Every way to the silos, each in a fresh process."""
    count, many = (20, 2) if bench.quick else (300, 9)
    skipped = federation_wire.missing_broker()
    near = {n: _timings(bench.run(in_process, folder=_folder(bench), silos=n, count=count)) for n in (1, 2, 8)}
    two = thousand = None
    if skipped is None:
        two = _timings(bench.run(over_nats, folder=_folder(bench), count=count))
        thousand = _timings(bench.run(simulated, folder=_folder(bench), silos=1_000, count=many))
    each = {n: _left(found, n) for n, found in near.items()}
    far = None if two is None else _left(two, 1)
    whole = None if thousand is None else thousand["round"].median_s * 1e3
    bench.say(f"federation: in process {each[2]} ms a silo; 2 silos over NATS {far} ms; 1,000 silos {whole} ms")
    rows = [
        _row(
            f"{n} in process",
            found,
            f"{each[n]:g} ms a silo; {_left(found, n, 'in turn'):g} ms beside queries in turn, "
            f"{_left(found, n, 'planned'):g} ms beside planned ones",
        )
        for n, found in near.items()
    ]
    if two is not None:
        rows.append(_row("2 over NATS", two, f"{far:g} ms; {_left(two, 1, 'planned'):g} ms beside the planned one"))
    rows += (
        [] if thousand is None else [_row("1,000 simulated, over NATS", thousand, seconds(thousand["round"].median_s))]
    )
    return Measurement(
        name="federation",
        title="Overhead of silos",
        how=(
            *_HOW,
            f"One fsync of an answer's size on the same disk takes {near[2]['fsync']}; each real answer waits for one.",
        ),
        targets=(
            Target("a round in process: under 1 ms a silo beside the query", 1.0, each[2], False, unit="ms"),
            Target("a round of 2 silos over NATS: under 6 ms beside the query", 6.0, far, False, unit="ms"),
            Target(
                "a round of 1,000 simulated silos over NATS: under 1 s",
                1_000.0,
                None if whole is None else float(f"{whole:.4g}"),
                False,
                unit="ms",
            ),
        ),
        tables=(Table(("silos", "a round", "own queries", "in turn", "planned", "bare", "overhead"), tuple(rows)),),
        skipped=() if skipped is None else (f"Everything over NATS: {skipped}.",),
    )


def _folder(bench: Bench) -> str:
    made = bench.folder / f"federation-{time.monotonic_ns()}"
    made.mkdir()
    return str(made)


def _timings(outcome: Any) -> dict[str, Timing]:
    return {name: Timing(tuple(runs)) for name, runs in outcome.result.items()}


def _left(found: dict[str, Timing], silos: int, beside: str = "query") -> float:
    """Milliseconds a silo of a round beside the own queries, by the medians; to three digits."""
    return float(f"{(found['round'].median_s - found[beside].median_s) / silos * 1e3:.3g}")


def _row(name: str, found: dict[str, Timing], left: str) -> tuple[str, ...]:
    return (
        name,
        str(found["round"]),
        *(str(found.get(key, "")) for key in ("query", "in turn", "planned", "bare")),
        left,
    )


# -- contenders, each in a process of its own -------------------------------------------------


def in_process(folder: str, silos: int, count: int) -> dict[str, Any]:
    """Agents in the coordinator's process."""
    at = Path(folder)
    names = [f"shop{n}" for n in range(silos)]
    with ExitStack() as stack:
        agents = {}
        for number, name in enumerate(names):
            (at / name).mkdir()
            fill(at / name / f"{name}.duckdb", number)
            config = SiloConfig.embedded(name, at / name / f"{name}.duckdb", POLICY)
            agents[name] = stack.enter_context(Silo(config)).answer
        transport = InProcess(agents)
        stack.callback(transport.close)
        ask = stack.enter_context(coordinator(at, names, transport))
        query = stack.enter_context(own_queries(at, silos))
        return {**in_turn({"round": ask, **query}, count), "fsync": fsyncs(at, count)}


def over_nats(folder: str, count: int) -> dict[str, Any]:
    """Two silos, each in a process of its own."""
    at, names = Path(folder), PARTIES[:2]
    with ExitStack() as stack:
        stack.enter_context(broker(at / "league", PARTIES))
        for number, name in enumerate(names):
            fill(at / "league" / name / f"{name}.duckdb", number)
        with served("bare", at / "league", [[name] for name in names]):
            bare = bare_rounds(at / "league", names, task_bytes(names), count)
        stack.enter_context(served("real", at / "league", [[name] for name in names]))
        transport = Nats(CoordinatorSettings.load(at / "league" / "coordinator.toml"))
        stack.callback(transport.close)
        ask = stack.enter_context(coordinator(at, names, transport))
        query = stack.enter_context(own_queries(at, 1))
        contenders = {"round": ask, "query": query["query"], "planned": query["planned"]}
        return {**in_turn(contenders, count), "bare": bare}


def simulated(folder: str, silos: int, count: int) -> dict[str, Any]:
    """Many silos without data, as stores of four parties in one process."""
    at, names = Path(folder), [f"{PARTIES[n % len(PARTIES)]}/{n}" for n in range(silos)]
    with ExitStack() as stack:
        stack.enter_context(broker(at / "league", PARTIES))
        with served("bare", at / "league", [PARTIES]):
            bare = bare_rounds(at / "league", names, task_bytes(names), count)
        stack.enter_context(served("simulated", at / "league", [[party] for party in PARTIES]))
        transport = Nats(CoordinatorSettings.load(at / "league" / "coordinator.toml"))
        stack.callback(transport.close)
        ask = stack.enter_context(coordinator(at, names, transport))
        return {**in_turn({"round": ask}, count), "bare": bare}


def in_turn(contenders: dict[str, Callable[[int], float]], count: int) -> dict[str, list[float]]:
    """Seconds of each, taken in turn, while garbage is collected as in a session; the first two are not counted."""
    took: dict[str, list[float]] = {name: [] for name in contenders}
    with patient():
        for number in range(count + 2):
            for name, contender in contenders.items():
                took[name].append(contender(number))
    return {name: times[2:] for name, times in took.items()}


# -- what they do -----------------------------------------------------------------------------


def fill(database: Path, seed: int) -> None:
    """A store with four clusters of customers."""
    random = np.random.default_rng(seed)
    values = CENTROIDS[np.arange(ROWS) % len(CENTROIDS)] + random.normal(size=(ROWS, len(FEATURES)))
    columns = {name: values[:, i] for i, name in enumerate(FEATURES)}
    with duckdb.connect(str(database)) as connection:
        connection.register("given", pa.table({"customer_id": [f"c{n}" for n in range(ROWS)], **columns}))
        connection.execute("CREATE TABLE features AS SELECT * FROM given")


def state(number: float, features: Sequence[str] = FEATURES) -> KMeansState:
    """A state that no round has had, so that no earlier answer will do, nor a query's text but for its shape."""
    random = np.random.default_rng(round(10 * number))
    origin = CENTROIDS.mean(axis=0) + random.normal(0.0, APART, len(FEATURES))
    near = random.normal(CENTROIDS, 1.0)
    return KMeansState(tuple(features), "step", origin, centroids=near - origin)


def _plan(names: Sequence[str]) -> Plan:
    options = FederatedOptions(strategy="rounds", timeout=60.0)
    return Plan("g", "features", FEATURES, tuple(names), ESTIMATOR, asdict(ESTIMATOR), options)


def _fields(number: int) -> dict[str, Any]:
    """What is asked in a round."""
    return {"state": state_to_plain(state(number)), "model_type": "kmeans", "options": asdict(ESTIMATOR)}


def task_bytes(names: Sequence[str]) -> int:
    """What a task is on the wire."""
    run = Coordinator(_plan(names), InProcess({}), None, "0" * 32)  # type: ignore[arg-type]  # nobody is asked
    return len(encode(run._task("observe", 0, names[0], _fields(0)))) + ENVELOPE_BYTES


@contextmanager
def coordinator(at: Path, names: Sequence[str], transport: Transport) -> Iterator[Callable[[int], float]]:
    """Asks a round, adds the replies up, and gives the seconds."""
    with Registry.open(at / "registry.sqlite") as registry:
        journal = Journal(registry.database)
        run = Run.new("g", "benchmark", {})
        journal.begin(run)
        asking = Coordinator(_plan(names), transport, journal, run.run_id)

        def ask(number: int) -> float:
            begin = time.perf_counter()
            asking.observe(payload={"scaler": None}, **_fields(number))
            took = time.perf_counter() - begin
            assert not asking.lost, asking.lost
            return took

        with journal.busy(run.run_id):
            yield ask


@contextmanager
def own_queries(at: Path, stores: int) -> Iterator[dict[str, Callable[[int], float]]]:
    """Run a round's query over each store's own rows, and give the seconds; on threads, as agents do.

    Yields:
        ``query``: side by side; ``in turn``: one after the other; ``planned``: side by side, over a silo's own copy.
    """
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(stores))
        folders = [at / f"own{number}" for number in range(stores)]
        for number, folder in enumerate(folders):
            folder.mkdir()
            fill(folder / "own.duckdb", number)
        tables = [stack.enter_context(local_holder(folder)) for folder in folders]
        copies = [stack.enter_context(silo_holder(folder)) for folder in folders]

        def timed(parts: Sequence[Sequence[Callable[[int], None]]], number: int) -> float:
            begin = time.perf_counter()
            for done in [pool.submit(lambda part=part: [hold(number) for hold in part]) for part in parts]:
                done.result()
            return time.perf_counter() - begin

        yield {
            "query": partial(timed, [[table] for table in tables]),
            "in turn": partial(timed, [tables]),
            "planned": partial(timed, [[copy] for copy in copies]),
        }


@contextmanager
def local_holder(at: Path) -> Iterator[Callable[[int], None]]:
    """Runs a round's query over a table of one store's features, as local training lays it out."""
    engine = DuckDB(threads=1)
    try:
        engine.execute(f"ATTACH '{at / 'own.duckdb'}' AS store (READ_ONLY)")
        listed = ", ".join(f"{name} AS f{i}" for i, name in enumerate(FEATURES))
        engine.keep("own", f"SELECT {listed} FROM store.features")
        engine.execute("DETACH store")
        yield partial(_observe, engine, "own")
    finally:
        engine.close()


@contextmanager
def silo_holder(at: Path) -> Iterator[Callable[[int], None]]:
    """Runs a round's query over the copy of one store's features that a silo makes."""
    silo = Silo(SiloConfig.embedded("own", at / "own.duckdb", POLICY))
    with silo, silo.borrowed("own", "own", "features", time.time() + 60) as (snapshot, _):
        inner = {f"f{i}": snapshot.column(name) for i, name in enumerate(FEATURES)}
        yield partial(_observe, snapshot.engine, snapshot.view(inner))


def _observe(engine: DuckDB, relation: str, number: int) -> None:
    engine.observe(relation, ESTIMATOR.observe(state(number + 0.5, [f"f{i}" for i in range(len(FEATURES))])))


def fsyncs(at: Path, count: int) -> list[float]:
    """Seconds to append as much as an answer's entry takes in a ledger, and to wait for the disk."""
    file, took = os.open(at / "probe", os.O_WRONLY | os.O_CREAT | os.O_APPEND), []
    for _ in range(count):
        begin = time.perf_counter()
        os.write(file, bytes(2_000))
        os.fsync(file)
        took.append(time.perf_counter() - begin)
    os.close(file)
    return took
