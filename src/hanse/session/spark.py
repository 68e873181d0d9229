"""Spark as a session's engine: the user's own session, or one started for the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hanse.errors import UsageError

if TYPE_CHECKING:
    from hanse.engines.base import Engine
    from hanse.workspace import Workspace

__all__ = ["spark_engine"]


def spark_engine(
    workspace: Workspace,
    spark: Any,
    master: str | None,
    remote: str | None,
    memory_limit: str | None,
    threads: int | None,
) -> Engine:
    """The engine.

    Args:
        workspace: keeps the tables of a session that is started here on this machine or a cluster.
        spark: the user's session; None starts one.
        master: as Spark writes it.
        remote: a Spark Connect server.
        memory_limit: the driver's.
        threads: must be None; ``local[2]`` says it.

    Raises:
        UsageError: arguments that do not fit; pyspark or Java that is missing.
    """
    from hanse.engines.spark_start import checked_version, start

    if threads is not None:
        raise UsageError(f"threads = {threads} is for engine duckdb: on Spark write master = 'local[{threads}]'")
    if spark is not None:
        if master is not None or remote is not None:
            raise UsageError("spark is a session already: leave out master and remote")
        checked_version()
        from hanse.engines.spark import Spark

        return Spark(spark)
    folder = None if workspace.path is None or remote is not None else workspace.path / "spark"
    if folder is not None:
        folder.mkdir(exist_ok=True)
    session = start(master=master, remote=remote, folder=folder, memory_limit=memory_limit)
    from hanse.engines.spark import Spark

    try:
        return Spark(session, folder=folder, owned=True)
    except BaseException:
        session.stop()
        raise
