"""What a coordinator holds does not depend on how many rows its silos hold."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import duckdb
import pytest

import hanse
from hanse.federation.config import SiloConfig
from hanse.federation.coordinator import Coordinator
from hanse.federation.journal import Run
from hanse.federation.plan import FederatedOptions, Plan
from hanse.federation.policy import Policy
from hanse.federation.silo import Silo
from hanse.federation.strategies import train_federated
from hanse.messages import Reply, Task
from hanse.models.bisecting_kmeans import BisectingKMeans


class Measured:
    """Asks silos one after the other, and notes the most memory that Python takes while none of them works."""

    def __init__(self, agents: Mapping[str, Silo]) -> None:
        self._agents = agents
        self._base = tracemalloc.get_traced_memory()[0]
        self.peak_bytes = 0

    def silos(self) -> Sequence[str]:
        return sorted(self._agents)

    def ask(
        self, tasks: Mapping[str, Task], timeout_s: float, meanwhile: Callable[[], object] | None = None
    ) -> Iterator[Reply]:
        del meanwhile  # the coordinator does it afterwards, while no silo works
        for silo, task in tasks.items():
            self.note()
            reply = self._agents[silo].answer(task)
            self._base = tracemalloc.get_traced_memory()[0]  # what the silo keeps is its own
            tracemalloc.reset_peak()
            yield reply

    def note(self) -> None:
        self.peak_bytes = max(self.peak_bytes, tracemalloc.get_traced_memory()[1] - self._base)

    def close(self) -> None: ...


def held(folder: Path, rows: int, strategy: str) -> tuple[int, int]:
    """Peak memory of the coordinator, and bytes in its journal, for a training over two silos."""
    folder.mkdir()
    policy = Policy(strategies=("one_shot", "article"), exact_rounds=True, cells_per_day=10**6)
    agents = {}
    for silo in ("a", "b"):
        database = folder / f"{silo}.duckdb"
        with duckdb.connect(str(database)) as connection:
            connection.execute(
                "CREATE TABLE features AS SELECT 'c' || i AS customer_id, (i % 3) * 10 + sin(i) AS x, cos(i) AS y "
                f"FROM range({rows}) AS r(i)"
            )
        agents[silo] = Silo(SiloConfig.embedded(silo, database, policy))
    estimator = BisectingKMeans(num_clusters=3, split_starts=1)
    plan = Plan(
        "g", "features", ("x", "y"), ("a", "b"), estimator, asdict(estimator), FederatedOptions(strategy), (True, True)
    )
    with hanse.connect(folder / "w") as session:
        journal = session.federation.journal
        run = Run.new("g", "text", {})
        journal.begin(run)
        tracemalloc.start()
        try:
            transport = Measured(agents)
            result = train_federated(Coordinator(plan, transport, journal, run.run_id))
            transport.note()
        finally:
            tracemalloc.stop()
            for silo in agents.values():
                silo.close()
        received = journal.received("g")
        assert sum(reply.kind == "summarize" for reply in received) == (2 if strategy == "one_shot" else 0)
        assert result.rows == 2 * rows
        return transport.peak_bytes, sum(reply.size_bytes for reply in received)


@pytest.mark.parametrize("strategy", ["one_shot", "rounds"])
def test_memory_and_journal_are_flat_in_the_number_of_rows(tmp_path: Path, strategy: str) -> None:
    held(tmp_path / "warm", 300, strategy)  # whatever is loaded and cached once
    few = held(tmp_path / "few", 1_000, strategy)
    many = held(tmp_path / "many", 300_000, strategy)
    if strategy == "one_shot":  # as many exchanges, whatever the rows are
        assert many[1] < few[1] * 1.05
    assert many[0] < few[0] * 1.5 + 100_000
    assert many[0] < 300_000 * 8  # not even one number of each row
