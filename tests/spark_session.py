"""One Spark session for all tests of a process: two threads, no UI, quiet; skipped where there is no Java 17."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

__all__ = ["QUICK", "cached_rows", "drop_everything", "missing_spark", "start"]

QUICK = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",  # short work, quickly begun
    "spark.default.parallelism": "2",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "false",  # to compile a small query takes longer than to run it
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
"""Settings for small queries."""


def missing_spark() -> str | None:
    """Why Spark cannot run here; None where it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pyspark  # noqa: F401  # asks only whether it is there
    except ImportError:
        return "pyspark is not installed: pip install 'hanse[spark]'"
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None or subprocess.run([java, "-version"], capture_output=True, check=False).returncode:
        return "there is no Java: install Java 17 and set JAVA_HOME (docs/spark.md)"
    return None


def cached_rows(spark: Any) -> set[int]:
    """The ids of all rows that Spark keeps; it gives none twice."""
    return set(spark.sparkContext._jsc.getPersistentRDDs().keySet())


def start(folder: Path, more: Mapping[str, str] | None = None) -> Any:
    """A session, with more settings than tests need; skips the test where there can be none."""
    reason = missing_spark()
    if reason is not None:
        pytest.skip(reason)
    from pyspark.sql import SparkSession

    logging.getLogger("SQLQueryContextLogger").disabled = True  # it prints every error of a query
    builder = SparkSession.builder.master("local[2]")
    for key, value in {
        **QUICK,
        "spark.ui.enabled": "false",
        "spark.driver.memory": "1g",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.local.dir": str(folder / "local"),
        "spark.ui.showConsoleProgress": "false",
        **(more or {}),
    }.items():
        builder = builder.config(key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    return session


def drop_everything(engine: Any) -> None:
    """Leave the session's catalog as empty as it was."""
    for view in [name for name in engine.relations() if engine.kind([name]) == "view"]:
        engine.drop([view], view=True)
    for table in engine.relations():
        engine.drop([table])
