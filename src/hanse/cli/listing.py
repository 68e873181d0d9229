"""The list of models as a result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hanse.session.result import Facts, Result

if TYPE_CHECKING:
    from hanse.artifact import ModelInfo

__all__ = ["models_result"]


def models_result(infos: Sequence[ModelInfo]) -> Result:
    """One row per version of a model."""
    names = ("name", "version", "type", "rows", "features", "created", "created_by")
    rows = [
        (i.name, i.version, i.model_type, i.row_count, ", ".join(i.features), i.created, i.created_by) for i in infos
    ]
    return Result(1, "show_models", Facts(names, rows), started=time.perf_counter())
