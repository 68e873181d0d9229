"""Training on Spark: a whole ``CREATE MODEL`` against MLlib's BisectingKMeans, on the same cached rows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.bench import Bench, Contender, missing_spark
from benchmarks.data import COLUMNS, prepare
from benchmarks.processes import Outcome
from benchmarks.report import Measurement, Table, Target, Timing, seconds
from benchmarks.story_spark import SETTINGS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["measure"]

OURS, THEIRS = "Hanse on Spark", "MLlib"


def _rows(array: str) -> tuple[SparkSession, DataFrame]:
    """The rows, cached in two partitions."""
    import numpy as np
    import pyarrow as pa
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("train")
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    table = pa.table(dict(zip(COLUMNS, np.load(array).T, strict=True)))
    frame = spark.createDataFrame(table).repartition(2).cache()
    frame.count()
    return spark, frame


def hanse_spark_train(array: str, clusters: int) -> dict[str, Any]:
    """Time CREATE MODEL twice; the first also warms Java up."""
    import hanse

    spark, frame = _rows(array)
    frame.createOrReplaceTempView("points")
    names = ", ".join(COLUMNS)
    statement = (
        f"CREATE OR REPLACE MODEL m TRANSFORM (vector_assembler(array({names})) features) "
        f"OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = {clusters}) AS SELECT {names} FROM points"
    )
    times = []
    with hanse.connect(engine="spark", spark=spark) as session:
        for _ in range(2):
            started = time.perf_counter()
            session.sql(statement)
            times.append(time.perf_counter() - started)
        sizes = session.sql("SELECT cluster_size FROM model_centroids(m, 1)").fetchall()
        cost = session.sql("SELECT SUM(inertia) FROM model_centroids(m, 1)").fetchall()[0][0]
    spark.stop()
    return {"first_s": times[0], "train_s": times[1], "sizes": [n for (n,) in sizes], "cost": cost}


def mllib_train(array: str, clusters: int, shift: float) -> dict[str, Any]:
    """Time fit() twice over assembled and cached vectors; the first also warms Java up."""
    from pyspark.ml.clustering import BisectingKMeans
    from pyspark.ml.feature import VectorAssembler

    spark, frame = _rows(array)
    moved = frame.selectExpr(*(f"{name} + {shift!r}D AS {name}" for name in COLUMNS))
    rows = VectorAssembler(inputCols=list(COLUMNS), outputCol="features").transform(moved).select("features").cache()
    rows.count()
    times = []
    for _ in range(2):
        started = time.perf_counter()
        model = BisectingKMeans(k=clusters, seed=2, maxIter=20).fit(rows)
        times.append(time.perf_counter() - started)
    found = {"sizes": list(model.summary.clusterSizes), "cost": float(model.summary.trainingCost)}
    spark.stop()
    return {"first_s": times[0], "train_s": times[1], **found}


def measure(bench: Bench) -> Measurement:
    """Standardised customers, k = 3; MLlib gets them as they are, and 1 higher."""
    size, runs = (100_000, 1) if bench.quick else (1_000_000, 3)
    missing = missing_spark()
    outcomes: dict[str, list[Outcome]] = {}
    if missing is None:
        array, _ = prepare(bench.folder, "customers", size)
        contenders: dict[str, Contender] = {
            OURS: (hanse_spark_train, {"array": str(array), "clusters": 3}),
            f"{THEIRS}, rows 1 higher": (mllib_train, {"array": str(array), "clusters": 3, "shift": 1.0}),
            THEIRS: (mllib_train, {"array": str(array), "clusters": 3, "shift": 0.0}),
        }
        outcomes = bench.interleaved(contenders, runs)
        for name, found in outcomes.items():
            bench.say(f"spark_train: {size:,} rows, {name}: {seconds(_timing(found).median_s)}")
    return Measurement(
        name="spark_train",
        title="Training on Spark",
        how=(
            f"{size:,} rows of 4 standardised features, cached in Spark (`local[2]`), k = 3. Hanse is timed over the "
            "whole `CREATE MODEL` statement, MLlib's `BisectingKMeans` over `fit()` of vectors that are cached. "
            "Each run is a fresh process that trains once before it is timed.",
            "MLlib opens a split in proportion to its centre's norm, and the centre of standardised rows is about "
            "1e-17: it gives them back as one cluster. So it also gets them 1 higher, where it does split.",
        ),
        targets=_targets(outcomes),
        tables=(_table(outcomes),) if outcomes else (),
        skipped=() if missing is None else (f"Training on Spark: {missing}.",),
    )


def _timing(outcomes: Sequence[Outcome]) -> Timing:
    return Timing(tuple(o.result["train_s"] for o in outcomes))


def _cost(outcomes: Sequence[Outcome]) -> float:
    return statistics.median(float(o.result["cost"]) for o in outcomes)


def _targets(outcomes: dict[str, list[Outcome]]) -> tuple[Target, ...]:
    moved = f"{THEIRS}, rows 1 higher"
    faster = _timing(outcomes[moved]).ratio_to(_timing(outcomes[OURS])) if outcomes else None
    dearer = _cost(outcomes[OURS]) / _cost(outcomes[moved]) if outcomes else None
    return (
        Target("training on Spark: at least 3 times as fast as MLlib", 3.0, faster, at_least=True, unit="times"),
        Target("training on Spark: at no higher cost than MLlib", 1.0, dearer, at_least=False, unit="times its cost"),
    )


def _table(outcomes: dict[str, list[Outcome]]) -> Table:
    ours = outcomes[OURS]
    rows = [
        (
            name,
            str(_timing(found)),
            f"{_timing(found).ratio_to(_timing(ours)):g}",
            f"{_cost(found) / _cost(ours):.4f}",
            ", ".join(f"{size:,}" for size in sorted(found[0].result["sizes"], reverse=True)),
        )
        for name, found in outcomes.items()
    ]
    return Table(("contender", "time", "times Hanse's", "cost over Hanse's", "cluster sizes"), tuple(rows))
