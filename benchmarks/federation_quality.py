"""Quality over silos: what a federated model leaves of inertia, against the same estimator over all rows at once."""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bench import Bench
from benchmarks.report import Measurement, Table, Target

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.float64]

__all__ = ["FEATURES", "Way", "centralised", "inertia_of", "measure", "retail_by_country", "silos", "statement"]

CLUSTERS = (3, 4, 8)
FEATURES = ("order_value", "orders", "lifetime")
GATE = 10
LEAST = 20

_BY_COUNTRY = f"""
    WITH invoices AS (
        SELECT CustomerID AS customer, Country AS country, InvoiceNo, min(InvoiceDate) AS time,
            sum(Quantity * UnitPrice) AS value
        FROM '{{source}}'
        WHERE CustomerID IS NOT NULL AND InvoiceNo NOT LIKE 'C%' AND UnitPrice > 0
        GROUP BY ALL
    ),
    customers AS (
        SELECT country, customer, ln(1 + avg(value)) AS order_value, ln(1 + count(*)) AS orders,
            datediff('day', min(time), max(time))::DOUBLE AS lifetime
        FROM invoices GROUP BY ALL
    )
    SELECT * FROM customers WHERE country IN (SELECT country FROM customers GROUP BY country HAVING count(*) >= {LEAST})
    ORDER BY country, customer
"""
_POLICY = """
[publish.customers]
relation = "customers"
customer = "customer"
columns = ["order_value", "orders", "lifetime"]
[policy]
min_customers = {gate}
strategies = ["one_shot", "article", "rounds"]
exact_rounds = true
install = "never"
max_clusters = 64
runs_per_day = 1000
cells_per_day = 1000000
"""


@dataclass(frozen=True)
class Way:
    """One way of training over silos.

    Args:
        strategy: of the statement.
        local_clusters: of the statement.
        gated: whether the gate stands, or is held open to see what it costs.
    """

    strategy: str
    local_clusters: int
    gated: bool = True


WAYS = (
    Way("one_shot", 3),
    Way("one_shot", 3, gated=False),
    Way("one_shot", 6),
    Way("one_shot", 6, gated=False),
    Way("one_shot", 12),
    Way("one_shot", 12, gated=False),
    Way("article", 3),
    Way("article", 6),
    Way("rounds", 3),
)


def retail_by_country(source: str) -> dict[str, Any]:
    """UCI Online Retail: for each country of 20 customers or more its customers, as an Arrow table."""
    import duckdb
    import pyarrow.compute as pc

    with duckdb.connect() as database:
        table = database.sql(_BY_COUNTRY.format(source=source.replace("'", "''"))).to_arrow_table()
    names = table["country"].unique().to_pylist()
    return {name: table.filter(pc.equal(table["country"], name)).drop_columns(["country"]) for name in names}


@contextlib.contextmanager
def silos(folder: Path, stores: Mapping[str, Any], gate: int = GATE) -> Iterator[tuple[Any, list[str]]]:
    """A session with a silo in this process for each store, and the silos' names."""
    import duckdb

    import hanse

    with hanse.connect() as session:
        names = []
        for store, table in stores.items():
            name = store.lower().replace(" ", "_")
            (folder / name).mkdir(parents=True)
            with duckdb.connect(str(folder / name / "store.duckdb")) as database:
                database.register("given", table)
                database.execute("CREATE TABLE customers AS SELECT * FROM given")
            config = folder / name / "silo.toml"
            config.write_text(f'name = "{name}"\ndatabase = "store.duckdb"\n{_POLICY.format(gate=gate)}')
            options = {"database": str(folder / name / "store.duckdb"), "config": str(config)}
            session.sql(f"CREATE SILO {name} OPTIONS (database = $database, config = $config)", options)
            names.append(name)
        yield session, names


def statement(model: str, clusters: int, names: list[str], way: Way) -> str:
    """CREATE FEDERATED MODEL in one way."""
    return (
        f"CREATE OR REPLACE FEDERATED MODEL {model} TRANSFORM (vector_assembler(array({', '.join(FEATURES)})) f, "
        f"standard_scaler(f, true, true) z) OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = {clusters}, "
        f"STRATEGY = '{way.strategy}', LOCAL_CLUSTERS = {way.local_clusters}, QUORUM = 1) "
        f"OVER SILOS ({', '.join(names)}) AS SELECT {', '.join(FEATURES)} FROM customers"
    )


def centralised(model: str, clusters: int) -> str:
    """The same estimator over all rows."""
    return (
        f"CREATE OR REPLACE MODEL {model} TRANSFORM (vector_assembler(array({', '.join(FEATURES)})) f, "
        f"standard_scaler(f, true, true) z) OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = {clusters}) "
        f"AS SELECT {', '.join(FEATURES)} FROM pooled"
    )


def inertia_of(session: Any, model: str) -> float:
    """Of all rows, as ``model_evaluate`` measures it, about the means of what the model groups."""
    query = f"SELECT inertia FROM model_evaluate({model}, 1, SELECT * FROM pooled)"
    return float(session.sql(query).fetchall()[0][0])


@contextlib.contextmanager
def held_open() -> Iterator[None]:
    """Lets every cell through, as no silo ever does: only to see what the gate costs."""
    from hanse.federation import silo
    from hanse.federation.gate import Gate, Release

    class Open(Gate):
        def release(self, question: Any, customers: Any = None, classes: Any = ()) -> Release:
            mapping = tuple(range(question.cells))
            return Release(question.tally(mapping), mapping)

    standing = silo.Gate
    silo.Gate = Open  # type: ignore[misc]
    try:
        yield
    finally:
        silo.Gate = standing  # type: ignore[misc]


def compare(source: str, ways: list[list[Any]], seeds: int) -> dict[str, Any]:
    """Inertia of each way over the silos, of the same estimator over all rows, and of scikit-learn."""
    import numpy as np
    import pyarrow as pa
    from sklearn.cluster import BisectingKMeans

    stores = retail_by_country(source)
    pooled = pa.concat_tables(stores.values()).select(list(FEATURES))
    rows = np.column_stack([column.to_numpy() for column in pooled.columns])
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1)
    found: list[dict[str, Any]] = []
    whole: dict[int, float] = {}
    for (number, way), clusters in itertools.product(enumerate(Way(*w) for w in ways), CLUSTERS):
        with contextlib.ExitStack() as stack:
            if not way.gated:
                stack.enter_context(held_open())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            session, names = stack.enter_context(
                silos(folder, stores)
            )  # new ones: a gate heeds what it released before
            session.register("pooled", pooled)
            if clusters not in whole:
                session.sql(centralised("whole", clusters))
                whole[clusters] = inertia_of(session, "whole")
            session.sql(statement("g", clusters, names, way))
            told = json.loads(dict(session.sql("DESCRIBE MODEL g").fetchall())["training"])
            ratio = inertia_of(session, "g") / whole[clusters]
            found.append(
                {
                    "way": number,
                    "k": clusters,
                    "ratio": ratio,
                    "lost": list(told["lost"]),
                    "joined": list(told["reasons"]),
                }
            )
    peers = {
        k: [float(BisectingKMeans(k, n_init=10, random_state=s).fit(scaled).inertia_) / whole[k] for s in range(seeds)]
        for k in CLUSTERS
    }
    return {
        "sizes": {name: len(table) for name, table in stores.items()},
        "peers": [statistics.mean(peers[k]) for k in CLUSTERS],
        "found": found,
    }


def measure(bench: Bench) -> Measurement:
    """Ratios to the same estimator over all rows; 1 is as good."""
    title, wanted = "Quality over silos", 1.05
    goal = f"`one_shot`, LOCAL_CLUSTERS = 3, K = 3: inertia at most {wanted:g} times that over all rows"
    if bench.online_retail is None:
        return Measurement(
            name="federation_quality",
            title=title,
            how=_HOW,
            targets=(Target(goal, wanted, None, False),),
            skipped=("UCI Online Retail: the file is not there (`--online-retail FILE`).",),
        )
    ways = WAYS[:1] if bench.quick else WAYS
    given = [[w.strategy, w.local_clusters, w.gated] for w in ways]
    result = bench.run(compare, source=str(bench.online_retail), ways=given, seeds=1 if bench.quick else 5).result
    ratio = {(f["way"], f["k"]): f for f in result["found"]}
    rows = [("over all rows", "", "", *("1" for _ in CLUSTERS), "")]
    rows.append(("over all rows, scikit-learn, n_init=10", "", "", *(f"{r:.3f}" for r in result["peers"]), ""))
    for number, way in enumerate(ways):
        cells = [ratio[number, k] for k in CLUSTERS]
        gate = str(GATE) if way.gated else "held open"
        local = "" if way.strategy == "rounds" else str(way.local_clusters)
        rows.append((f"`{way.strategy}`", local, gate, *(f"{c['ratio']:.3f}" for c in cells), _effects(cells)))
    reached = ratio[0, 3]["ratio"]
    bench.say(f"quality over silos: one_shot, K = 3: {reached:.4f}")
    header = ("strategy", "LOCAL_CLUSTERS", "gate", *(f"K = {k}" for k in CLUSTERS), "what the gate did")
    sizes = ", ".join(f"{name} {size:,}" for name, size in sorted(result["sizes"].items(), key=lambda i: -i[1]))
    return Measurement(
        name="federation_quality",
        title=title,
        how=(*_HOW, f"Customers: {sizes}."),
        targets=(Target(goal, wanted, round(reached, 4), False, "times"),),
        tables=(Table(header, tuple(rows)),),
    )


_HOW = (
    "UCI Online Retail, each country of 20 customers or more a silo with an agent, a gate and a ledger of its own. "
    "Features: ln(1 + average order), ln(1 + orders), lifetime in days, standardised over all silos. The sum of "
    "squared distances of all rows, as `model_evaluate` measures it, over that of the same estimator trained on all "
    "rows at once; 1 is as good, below 1 is better.",
    f"The gate joins cells of fewer than {GATE} customers with their nearest sibling. *Held open*: every cell leaves, "
    "as no silo ever lets it; this shows what the gate costs. `rounds` opens each split with one start, so that its "
    "cells are large enough to leave. Each training has silos of its own, for a gate heeds what it released before.",
)


def _effects(cells: list[dict[str, Any]]) -> str:
    """Which silos were left out, and whose cells were joined, for any number of clusters."""
    lost = sorted({silo for cell in cells for silo in cell["lost"]})
    joined = sorted({silo for cell in cells for silo in cell["joined"]} - set(lost))
    told = [f"left out: {', '.join(lost)}"] if lost else []
    return "; ".join([*told, *([f"joined cells: {', '.join(joined)}"] if joined else [])])
