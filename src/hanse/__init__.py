"""Hanse: federated anomaly detection for retailers, in SQL.

>>> import hanse
>>> with hanse.connect() as session:
...     session.sql("SELECT 1 AS one").fetchall()
[(1,)]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from hanse.session import Result, Session

__all__ = ["Result", "Session", "__version__", "connect"]

__version__ = "0.1.0"


def connect(
    workspace: str | Path | None = None,
    *,
    memory_limit: str | None = None,
    threads: int | None = None,
    registry: str | Path | None = None,
    federation: str | Path | None = None,
    engine: str = "duckdb",
    spark: Any = None,
    master: str | None = None,
    remote: str | None = None,
) -> Session:
    """Open a workspace.

    Args:
        workspace: a folder, made where it is missing; None keeps everything in memory.
        memory_limit: what the engine may use, as ``2GB``.
        threads: of the engine; all cores without it.
        federation: the coordinator's file, for silos over a broker.
        registry: where models are kept, a file or a SQLAlchemy URL; the workspace's own without it.
        engine: ``duckdb``, or ``spark``.
        spark: a session of pyspark's to use, with its catalog.
        master: start Spark there (``local[2]``, ``yarn`` ...); tables are kept in the workspace.
        remote: a Spark Connect server, ``sc://host:15002``.

    Raises:
        UsageError: an unknown engine, arguments that do not fit it, or pyspark or Java that is missing.
        WorkspaceError: the workspace is locked, corrupt or cannot be written.
    """
    from hanse.collector import load

    load("hanse.session")
    from hanse.session import Session

    return Session(
        workspace,
        memory_limit=memory_limit,
        threads=threads,
        registry=registry,
        federation=federation,
        engine=engine,
        spark=spark,
        master=master,
        remote=remote,
    )


def __getattr__(name: str) -> Any:
    if name in ("Session", "Result"):
        import hanse.session

        return getattr(hanse.session, name)
    raise AttributeError(f"module 'hanse' has no attribute {name!r}")
