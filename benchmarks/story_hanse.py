"""The story by Hanse, on either engine, in a process of its own that loads nothing else."""

from __future__ import annotations

import os
import time
from typing import Any

__all__ = ["SCRIPTS", "hanse_story"]

SCRIPTS = 8  # the ninth compares with the planted truth, which real data has not


def hanse_story(events: str, scratch: str, **options: str) -> dict[str, Any]:
    """Run the scripts as they stand, in a new workspace on disk; seconds by phase, and what was found.

    Args:
        events: the Parquet file.
        scratch: folder for the workspace.
        options: of ``hanse.connect``.
    """
    started = time.perf_counter()
    import hanse
    from hanse import demo

    phases: dict[str, float] = {}
    silhouettes: list[float] = []
    models: list[str] = []
    parameters = {"start_date": demo.START_DATE, "end_date": demo.END_DATE}
    with hanse.connect(f"{scratch}/story_{os.getpid()}", **options) as session:  # type: ignore[arg-type]
        session.sql(f"CREATE TEMP VIEW {demo.EVENTS_TABLE} AS SELECT * FROM parquet.`{events}`")
        phases["start"] = time.perf_counter() - started
        for script in demo.story()[:SCRIPTS]:
            started = time.perf_counter()
            for result in session.run(script.read_text(), parameters):
                rows = result.fetchall()
                if result.kind == "create_model":
                    models.append(rows[0][result.columns.index("model")])
                if "silhouette" in result.columns:
                    silhouettes.append(rows[0][result.columns.index("silhouette")])
                phase = _phase(script.stem, result.kind)
                phases[phase] = phases.get(phase, 0.0) + time.perf_counter() - started
                started = time.perf_counter()
        sizes = {
            name: [n for (n,) in session.sql(f"SELECT cluster_size FROM model_centroids({name}, 1)").fetchall()]
            for name in models
        }
        found = {"phases": phases, "silhouettes": silhouettes, "sizes": sizes}
        return found | _java(options)


def _java(options: dict[str, str]) -> dict[str, Any]:
    """What Java held, where there is one."""
    if options.get("engine") != "spark":
        return {}
    from benchmarks.spark_session import java_peak_bytes

    return {"java_peak_bytes": java_peak_bytes()}


def _phase(script: str, kind: str) -> str:
    if kind == "create_model":
        return "training"
    if "evaluate" in script:
        return "evaluation"
    return "prediction" if "predict" in script and kind == "create_table" else "features and aggregates"
