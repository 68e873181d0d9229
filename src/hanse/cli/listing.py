"""The list of models as a result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hanse.session.result import Result

if TYPE_CHECKING:
    from hanse.artifact import ModelInfo

__all__ = ["models_result"]


def models_result(infos: Sequence[ModelInfo]) -> Result:
    """One row per version of a model."""
    import pyarrow as pa

    columns = {
        "name": pa.array([i.name for i in infos], pa.string()),
        "version": pa.array([i.version for i in infos], pa.int64()),
        "type": pa.array([i.model_type for i in infos], pa.string()),
        "rows": pa.array([i.row_count for i in infos], pa.int64()),
        "features": pa.array([", ".join(i.features) for i in infos], pa.string()),
        "created": pa.array([i.created for i in infos], pa.string()),
        "created_by": pa.array([i.created_by for i in infos], pa.string()),
    }
    return Result(1, "show_models", pa.table(columns).to_reader(), started=time.perf_counter())
