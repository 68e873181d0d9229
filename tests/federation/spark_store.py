"""A store's workspace on Spark, laid down as ``hanse load --engine spark`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hanse.engines.spark import Spark

__all__ = ["MASTER", "hashes", "lay"]

MASTER = "local[2]"
"""Where the tests' one Spark runs."""


def lay(spark: Any, workspace: Path, rows: pa.Table, table: str = "features") -> Path:
    """Put rows into a table of the workspace, replacing it; the session's catalog is as it was afterwards."""
    workspace.mkdir(exist_ok=True)
    (workspace / "spark").mkdir(exist_ok=True)
    file = workspace / "rows.parquet"
    pq.write_table(rows, file)
    engine = Spark(spark, folder=workspace / "spark")
    engine.load(table, [file], replace=True)
    names = engine.relations()
    engine.close()
    for name in names:
        spark.sql(f"DROP TABLE IF EXISTS {name}")
    file.unlink()
    return workspace


def hashes(folder: Path) -> dict[str, int]:
    """Every file below a folder, and a hash of what it holds."""
    return {str(path.relative_to(folder)): hash(path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
