"""The story on PySpark and MLlib: the plan's SQL as it stands, its models by BisectingKMeans; run as a cold process."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.spark_session import java_peak_bytes, start

if TYPE_CHECKING:
    from pyspark.ml.clustering import BisectingKMeansModel
    from pyspark.sql import DataFrame, SparkSession

    from benchmarks.story_plan import Step

__all__ = ["spark_story"]


class _Story:
    """Tables as cached views, models by name."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self.models: dict[str, tuple[list[str], BisectingKMeansModel]] = {}
        self.shown: list[list[Any]] = []
        self.silhouettes: list[float] = []

    def table(self, step: Step) -> None:
        self._keep(step["table"], self.spark.sql(step["query"]))

    def select(self, step: Step) -> None:
        self.shown.append([list(row) for row in self.spark.sql(step["query"]).collect()])

    def train(self, step: Step) -> None:
        from pyspark.ml.clustering import BisectingKMeans

        names = [name.strip() for name in step["features"].split(",")]
        options = dict(re.findall(r"(\w+) = '?(\w+)'?", step["options"]))
        estimator = BisectingKMeans(k=int(options["NUM_CLUSTERS"]), seed=int(options["SEED"]), maxIter=20)
        if "WEIGHT_COL" in options:
            estimator = estimator.setWeightCol(options["WEIGHT_COL"])
        rows = self._assembled(step["query"], names).cache()
        self.models[step["model"]] = (names, estimator.fit(rows))
        rows.unpersist()

    def evaluate(self, step: Step) -> None:
        from pyspark.ml.evaluation import ClusteringEvaluator

        names, model = self.models[step["model"]]
        rows = model.transform(self._assembled(step["query"], names)).cache()
        self.silhouettes.append(float(ClusteringEvaluator().evaluate(rows)))
        rows.unpersist()

    def predict(self, step: Step) -> None:
        names, model = self.models[step["model"]]
        self._keep(step["table"], model.transform(self._assembled(step["query"], names)).drop("features"))

    def _assembled(self, query: str, names: list[str]) -> DataFrame:
        """The rows with a vector of their features, each 1 higher: MLlib opens no split where the centre is 0."""
        from pyspark.ml.feature import VectorAssembler

        shifted = [f"{name} + 1.0D AS shifted_{name}" for name in names]
        rows = self.spark.sql(query).selectExpr("*", *shifted)
        assembled = VectorAssembler(inputCols=[f"shifted_{n}" for n in names], outputCol="features").transform(rows)
        return assembled.drop(*(f"shifted_{n}" for n in names))

    def _keep(self, name: str, rows: DataFrame) -> None:
        """What CREATE TABLE AS does: the rows are computed now and kept; in memory here."""
        kept = rows.cache()
        kept.count()
        kept.createOrReplaceTempView(name)


def spark_story(events: str, events_table: str, plan: str, scratch: str) -> dict[str, Any]:
    """Follow the plan; seconds by phase, and what was found."""
    started = time.perf_counter()
    spark = start(scratch)
    spark.read.parquet(events).createOrReplaceTempView(events_table)
    phases = {"start": time.perf_counter() - started}
    story = _Story(spark)
    for step in json.loads(Path(plan).read_text()):
        started = time.perf_counter()
        getattr(story, step["do"])(step)
        phases[step["phase"]] = phases.get(step["phase"], 0.0) + time.perf_counter() - started
    sizes = {name: list(model.summary.clusterSizes) for name, (_, model) in story.models.items()}
    peak_bytes = java_peak_bytes()
    spark.stop()
    return {"phases": phases, "silhouettes": story.silhouettes, "sizes": sizes, "java_peak_bytes": peak_bytes}
