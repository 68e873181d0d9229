"""How Spark is asked for many sums, and what it caches for them; NumPy is the referee."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from referee import train
from spark_session import cached_rows

import hanse
from hanse import expressions as e
from hanse.engines.spark import Spark
from hanse.engines.spark_kept import is_cached
from hanse.estimator import Aggregate, CrossProducts, Observation


@pytest.mark.parametrize(("features", "weighted"), [(5, True), (14, False), (14, True), (95, True)])
def test_sums_are_those_of_numpy_however_many(shop: hanse.Session, features: int, weighted: bool) -> None:
    random = np.random.default_rng(5)
    rows = random.normal(size=(60, features)) * 10.0 ** random.integers(-3, 4, features)
    weight = random.uniform(0.5, 2.0, 60)
    names = [f"f{i}" for i in range(features)]
    shop.engine.register("wide", pa.table({**dict(zip(names, rows.T, strict=True)), "weight": weight}))
    origin, middle = rows[0] + 0.5, float(np.median(rows[:, 1]))
    z = [e.column(f"z{i}") for i in range(features)]
    layer = {f"z{i}": e.subtract(e.column(n), e.number(x)) for i, (n, x) in enumerate(zip(names, origin, strict=True))}
    cell = e.case([e.when(e.at_least(e.column("f1"), e.number(middle)), e.integer(2))], e.integer(0))
    aggregates = {
        "count": Aggregate((e.number(1.0),), (), "count"),
        "cross": CrossProducts.of(z, e.column("weight") if weighted else None),
        "greatest": Aggregate(tuple(z), (features,), "max"),
    }
    found = shop.engine.observe("wide", Observation(aggregates, (layer,), cell, 3))
    about, w = rows - origin, weight if weighted else np.ones(60)
    for number, chosen in ((0, rows[:, 1] < middle), (2, rows[:, 1] >= middle)):
        assert found["count"][number] == chosen.sum() > 0
        outer = (about[chosen] * w[chosen, None]).T @ about[chosen]
        size = np.sqrt(np.outer(np.diag(outer), np.diag(outer)))
        apart = np.abs(found["cross"][number] - outer[np.triu_indices(features)])
        assert np.all(apart <= 1e-12 * size[np.triu_indices(features)])
        np.testing.assert_array_equal(found["greatest"][number], about[chosen].max(axis=0))
    assert found["count"][1] == 0
    assert not found["cross"][1].any()
    assert np.all(found["greatest"][1] == -np.inf)


def test_what_is_cached_is_not_cached_twice_and_stays_cached(
    spark: Any, shop: hanse.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = cached_rows(spark)  # of whoever was here before
    held: list[int] = []
    observe = Spark.observe

    def cached() -> int:
        return len(cached_rows(spark) - others)

    def counted(engine: Spark, relation: Any, observation: Observation) -> Any:
        held.append(cached())
        return observe(engine, relation, observation)

    monkeypatch.setattr(Spark, "observe", counted)
    frame = spark.range(400).selectExpr("sqrt(id) AS x0", "id % 7 * 1.5D AS x1").cache()
    try:
        assert frame.count() == 400
        frame.createOrReplaceTempView("points")
        train(shop, "m", num_clusters=2)
        assert set(held) == {1}
        assert spark.catalog.isCached("points")
        held.clear()
        shop.sql(
            "CREATE MODEL shifted TRANSFORM (vector_assembler(array(x0, x1)) features) "
            "OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 2) AS SELECT x0 + 1 AS x0, x1 FROM points"
        )
        assert set(held) == {2}
        assert cached() == 1
    finally:
        spark.catalog.dropTempView("points")
        frame.unpersist()


@pytest.mark.parametrize(
    ("query", "cached"),
    [
        ("SELECT * FROM shown", True),
        ("SELECT b AS f0, a AS f1 FROM shown", True),
        ("SELECT b FROM (SELECT a, b FROM shown) AS inner_", True),
        ("SELECT a + 1 AS a, b FROM shown", False),
        ("SELECT CAST(a AS DECIMAL(9, 2)) AS a FROM shown", False),
        ("SELECT a FROM shown WHERE b > 3", False),
        ("SELECT a, count(*) AS n FROM shown GROUP BY a", False),
        ("SELECT a FROM shown CROSS JOIN (SELECT 1 AS one)", False),
        ("SELECT a FROM shown LIMIT 5", False),
        ("SELECT id FROM range(5)", False),
    ],
)
def test_only_columns_of_a_cached_table_count_as_cached(spark: Any, query: str, cached: bool) -> None:
    frame = spark.range(100).selectExpr("sqrt(id) AS a", "id % 7 * 1.5D AS b", "CAST(id AS STRING) AS c").cache()
    frame.createOrReplaceTempView("shown")
    try:
        (plan,) = spark.sql(f"EXPLAIN FORMATTED {query}").collect()
        assert is_cached(plan[0]) == cached
    finally:
        spark.catalog.dropTempView("shown")
        frame.unpersist()
