"""Quality: what Hanse's clusters leave of inertia, against scikit-learn's best of ten starts."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.bench import Bench
from benchmarks.report import Measurement, Table, Target

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.float64]

__all__ = ["measure"]

CLUSTERS = (3, 8)
CROSSED = "cross-joined"

_PURCHASES = """
    CREATE TABLE purchases AS
    WITH lines AS (SELECT *, row_number() OVER () AS line FROM '{source}')
    SELECT CustomerID AS customer, any_value(Country) AS country, min(InvoiceDate) AS time,
        arg_min(Quantity * UnitPrice, line) AS first_price
    FROM lines WHERE CustomerID IS NOT NULL AND InvoiceNo NOT LIKE 'C%' AND UnitPrice > 0
    GROUP BY CustomerID, InvoiceNo
"""
_FEATURES = """
    CREATE TABLE {name} AS
    SELECT {store} AS store, avg(first_price) AS f0, count(*)::DOUBLE AS f1,
        (max(time)::DATE - min(time)::DATE)::DOUBLE AS f2, datediff('day', max(time), DATE '2011-12-10')::DOUBLE AS f3
    FROM purchases GROUP BY customer, {store}
"""
_MOMENTS = "avg(f0) a0, stddev(f0) s0, avg(f1) a1, stddev(f1) s1, avg(f2) a2, stddev(f2) s2, avg(f3) a3, stddev(f3) s3"
_SCALED = "SELECT (f0 - a0) / s0, (f1 - a1) / s1, (f2 - a2) / s2, (f3 - a3) / s3"
_TWO_STORES = "CASE WHEN country = 'United Kingdom' THEN 'uk' ELSE 'other' END"


def demo_rows(events: int) -> Iterator[tuple[str, Rows]]:
    """Each store's features by the demo's first script."""
    import numpy as np
    import pyarrow as pa

    import hanse
    from hanse import demo

    dates = {"start_date": demo.START_DATE, "end_date": demo.END_DATE}
    with hanse.connect() as session:
        session.register(demo.EVENTS_TABLE, pa.Table.from_batches(list(demo.generate(events, 1))))
        for _ in itertools.islice(session.run(demo.story()[0].read_text(), dates), 3):
            pass  # features, moments, and features in standard deviations
        for store in demo.STORES:
            query = "SELECT order_value_z, orders_z, lifetime_z, recency_z FROM store_features WHERE store_id = $store"
            table = session.sql(query, {"store": store.store_id}).arrow()
            yield f"demo, {store.name}", np.column_stack([column.to_numpy() for column in table.columns])


def retail_rows(source: str) -> Iterator[tuple[str, Rows]]:
    """UCI Online Retail by country and by two stores; also as the article joins them, each customer with each store."""
    import duckdb
    import numpy as np

    with duckdb.connect() as database:

        def numbers(query: str) -> Rows:
            return np.array(database.execute(query).fetchall(), dtype=np.float64)

        database.execute(_PURCHASES.format(source=source.replace("'", "''")))
        database.execute(_FEATURES.format(name="countries", store="country"))
        database.execute(_FEATURES.format(name="two", store=_TWO_STORES))
        yield "all customers", numbers(f"{_SCALED} FROM two, (SELECT {_MOMENTS} FROM two)")
        for table, store in (
            ("countries", "Germany"),
            ("countries", "France"),
            ("countries", "Spain"),
            ("two", "uk"),
            ("two", "other"),
        ):
            chosen = f"(SELECT * FROM {table} WHERE store = '{store}')"
            yield store, numbers(f"{_SCALED} FROM {chosen}, (SELECT {_MOMENTS} FROM {chosen})")
        moments = f"(SELECT store AS measured, {_MOMENTS} FROM two GROUP BY store)"
        yield CROSSED, numbers(f"{_SCALED} FROM two, {moments}")
        for store in ("uk", "other"):
            yield f"{CROSSED}, {store}", numbers(f"{_SCALED} FROM two, {moments} WHERE store = '{store}'")


def compare(events: int, source: str | None, seeds: int) -> dict[str, Any]:
    """Inertia of both contenders on every set of rows."""
    import numpy as np
    import pyarrow as pa
    from sklearn.cluster import BisectingKMeans

    import hanse

    found = []
    sets = itertools.chain(demo_rows(events), retail_rows(source) if source else ())
    with hanse.connect() as session:
        for (name, rows), clusters in itertools.product(list(sets), CLUSTERS):
            names = [f"x{i}" for i in range(rows.shape[1])]
            session.register("points", pa.table(dict(zip(names, rows.T, strict=True))))
            session.sql(
                f"CREATE OR REPLACE MODEL m TRANSFORM (vector_assembler(array({', '.join(names)})) features) "
                f"OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = {clusters}) AS SELECT * FROM points"
            )
            predicted = session.sql("SELECT * FROM model_predict(m, 1, SELECT * FROM points)").arrow()
            points = np.column_stack([predicted[n].to_numpy() for n in names])
            groups = [points[predicted["prediction"].to_numpy() == c] for c in range(clusters)]
            inertia = sum(float(((g - g.mean(axis=0)) ** 2).sum()) for g in groups if len(g))
            peers: dict[str, list[float]] = {
                str(n_init): [
                    float(BisectingKMeans(n_clusters=clusters, n_init=n_init, random_state=s).fit(rows).inertia_)
                    for s in range(seeds)
                ]
                for n_init in (1, 10)
            }
            found.append({"name": name, "rows": len(rows), "clusters": clusters, "inertia": inertia, "peers": peers})
    return {"found": found}


def measure(bench: Bench) -> Measurement:
    """Ratios below 1 are better than scikit-learn's."""
    source = bench.online_retail
    events, seeds = (50_000, 1) if bench.quick else (500_000, 5)
    found = bench.run(compare, events=events, source=str(source) if source else None, seeds=seeds).result["found"]
    ratios: dict[tuple[str, int], float] = {}
    rows = []
    for entry in found:
        ten = statistics.mean(entry["peers"]["10"])
        ratio = ratios[entry["name"], entry["clusters"]] = entry["inertia"] / ten
        once = [x / ten for x in entry["peers"]["1"]]
        rows.append(
            (
                entry["name"],
                f"{entry['rows']:,}",
                str(entry["clusters"]),
                f"{ratio:.4f}",
                f"{statistics.mean(once):.3f} (worst {max(once):.3f})",
            )
        )
    bench.say(f"quality: geometric mean {_geometric_mean(ratios.values()):.4f}, worst {max(ratios.values()):.4f}")
    return Measurement(
        name="quality",
        title="Quality",
        how=(
            "Sum of squared distances to the centroids, measured from the labels, over the mean of "
            f"scikit-learn's `BisectingKMeans(n_init=10)` with {seeds} seeds; below 1 is better. Features as in the "
            "story: order value, orders, lifetime, recency, in standard deviations. *Cross-joined* are the features as "
            "the article's own SQL makes them, every customer measured against every store.",
        ),
        targets=_targets(ratios),
        tables=(Table(("data", "rows", "k", "Hanse", "scikit-learn, one start"), tuple(rows)),),
        behind=tuple(
            f"Quality on {name}, k = {k}: Hanse leaves {r:.3f} times the inertia of the best of ten starts."
            for (name, k), r in ratios.items()
            if r > 1.01
        ),
        skipped=() if source else ("UCI Online Retail: the file is not there (`--online-retail FILE`).",),
    )


def _geometric_mean(values: Any) -> float:
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs))


def _targets(ratios: dict[tuple[str, int], float]) -> tuple[Target, ...]:
    crossed = [r for (name, k), r in ratios.items() if name.startswith(CROSSED) and k == 3]
    real = [r for (name, _), r in ratios.items() if not name.startswith("demo")]
    return (
        Target(
            "inertia, real data: geometric mean at most that of ten starts",
            1.0,
            round(_geometric_mean(real), 4) if real else None,
            False,
        ),
        Target("inertia: at most 1.10 times that of ten starts anywhere", 1.1, round(max(ratios.values()), 4), False),
        Target(
            "inertia, the article's cross-joined features, k = 3: at most 1.001 times that of ten starts",
            1.001,
            round(max(crossed), 5) if crossed else None,
            False,
        ),
    )
