"""The machine that a run happens on, without its name."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.processes import run
from benchmarks.report import Machine

__all__ = ["describe"]

_LIBRARIES = ("duckdb", "numpy", "pyarrow", "sqlglot", "scikit-learn", "pyspark")


def describe() -> Machine:
    """What stands on the page about this machine."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
        blas=run(blas).result["blas"],
        versions={name: found for name in _LIBRARIES if (found := _version(name)) is not None},
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def blas() -> dict[str, Any]:
    """The BLAS that scikit-learn's NumPy and SciPy load, as threadpoolctl names it, in a process of its own."""
    try:
        import sklearn.cluster  # noqa: F401  # loads SciPy's BLAS and OpenMP
        from threadpoolctl import threadpool_info
    except ImportError:
        return {"blas": "unknown: scikit-learn is not installed"}
    loaded = {
        f"{x['internal_api']} {x['version']} ({x['architecture']}, {x['num_threads']} threads)"
        for x in threadpool_info()
        if x["user_api"] == "blas"
    }
    return {"blas": "; ".join(sorted(loaded)) or "unknown"}
