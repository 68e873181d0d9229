"""Contenders that train on Spark: a whole ``CREATE MODEL``, and MLlib's BisectingKMeans, on the same cached rows."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.data import columns
from benchmarks.spark_session import few_and_all, java_peak_bytes, start
from benchmarks.trainers import create_model

__all__ = ["hanse_spark_train", "mllib_train"]


def hanse_spark_train(parquet: str, scratch: str, features: int, clusters: int, seed: int) -> dict[str, Any]:
    """Time CREATE MODEL; a model of fewer rows before it warms Java up."""
    import hanse

    spark = start(scratch)
    for name, rows in few_and_all(spark.read.parquet(parquet)).items():
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
    rows = few_and_all(assembler.transform(moved).select("features"))
    estimator = BisectingKMeans(k=clusters, seed=seed, maxIter=20)
    estimator.fit(rows["few"])
    started = time.perf_counter()
    model = estimator.fit(rows["points"])
    timed_s = time.perf_counter() - started
    inertia, peak_bytes = float(model.summary.trainingCost), java_peak_bytes()
    spark.stop()
    return {"timed_s": timed_s, "inertia": inertia, "java_peak_bytes": peak_bytes}
