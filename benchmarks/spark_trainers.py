"""Contenders that train on Spark: a whole ``CREATE MODEL``, and MLlib's BisectingKMeans, on the same cached rows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.data import columns
from benchmarks.spark_session import java_peak_bytes, start
from benchmarks.trainers import create_model

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["hanse_spark_train", "mllib_train"]

_FEW = 100_000
"""Rows of the model before the one that is timed: enough for Java to compile what both use."""


def hanse_spark_train(parquet: str, scratch: str, features: int, clusters: int, seed: int) -> dict[str, Any]:
    """Time CREATE MODEL; a model of fewer rows before it warms Java up."""
    import hanse

    spark = start(scratch)
    for name, rows in _few_and_all(spark.read.parquet(parquet)).items():
        rows.createOrReplaceTempView(name)
    with hanse.connect(engine="spark", spark=spark) as session:
        session.sql(create_model(features, clusters, seed, "few"))
        started = time.perf_counter()
        session.sql(create_model(features, clusters, seed, "points"))
        timed_s = time.perf_counter() - started
        inertia = session.sql("SELECT SUM(inertia) FROM model_centroids(m, 1)").fetchall()[0][0]
    peak_bytes = java_peak_bytes()
    spark.stop()
    return {"timed_s": timed_s, "inertia": inertia, "java_peak_bytes": peak_bytes}


def mllib_train(parquet: str, scratch: str, features: int, clusters: int, shift: float, seed: int) -> dict[str, Any]:
    """Time fit() of cached vectors; a model of fewer rows before it warms Java up."""
    from pyspark.ml.clustering import BisectingKMeans
    from pyspark.ml.feature import VectorAssembler

    spark = start(scratch)
    moved = spark.read.parquet(parquet).selectExpr(*(f"{name} + {shift!r}D AS {name}" for name in columns(features)))
    assembler = VectorAssembler(inputCols=columns(features), outputCol="features")
    rows = _few_and_all(assembler.transform(moved).select("features"))
    estimator = BisectingKMeans(k=clusters, seed=seed, maxIter=20)
    estimator.fit(rows["few"])
    started = time.perf_counter()
    model = estimator.fit(rows["points"])
    timed_s = time.perf_counter() - started
    inertia, peak_bytes = float(model.summary.trainingCost), java_peak_bytes()
    spark.stop()
    return {"timed_s": timed_s, "inertia": inertia, "java_peak_bytes": peak_bytes}


def _few_and_all(rows: DataFrame) -> dict[str, DataFrame]:
    """The rows by the name of their table, cached in two partitions."""
    cached = {"few": rows.limit(_FEW).repartition(2).cache(), "points": rows.repartition(2).cache()}
    for frame in cached.values():
        frame.count()
    return cached
