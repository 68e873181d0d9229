"""Spark as the benchmarks use it: its settings, a session, and the memory that its Java took."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["MASTER", "SETTINGS", "few_and_all", "java_peak_bytes", "missing_spark", "start"]

MASTER = "local[2]"

SETTINGS = {
    "spark.driver.memory": "4g",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
}
"""How Spark is set up: one partition for each core instead of 200, and no web interface."""


_FEW = 100_000
"""Rows of what is done before the timed work: enough for Java to compile what both use."""


def missing_spark() -> str | None:
    """Why Spark cannot run here; None if it can."""
    if find_spec("pyspark") is None:
        return "pyspark is not installed"
    java = shutil.which("java")
    if java is None or subprocess.run([java, "-version"], capture_output=True, check=False).returncode:
        return "there is no Java"
    return None


def start(folder: str) -> SparkSession:
    """A session, whose scratch files go to a folder."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(MASTER).appName("benchmarks").config("spark.local.dir", folder)
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def java_peak_bytes() -> int | None:
    """The most memory that the Java of this process's session has held so far; None where the system does not tell."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    status = Path(f"/proc/{gateway.proc.pid}/status") if gateway is not None else None
    if status is None or not status.exists():
        return None
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(found[1]) * 1024 if found else None


def few_and_all(rows: DataFrame) -> dict[str, DataFrame]:
    """The rows by the name of their table, cached in two partitions."""
    cached = {"few": rows.limit(_FEW).repartition(2).cache(), "points": rows.repartition(2).cache()}
    for frame in cached.values():
        frame.count()
    return cached
