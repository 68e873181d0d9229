"""Which workspace a command means."""

from __future__ import annotations

import os
from pathlib import Path

from hanse.errors import UsageError

__all__ = ["DEFAULT_WORKSPACE", "MEMORY", "WORKSPACE_VARIABLE", "chosen_workspace"]

DEFAULT_WORKSPACE = "hanse-workspace"
WORKSPACE_VARIABLE = "HANSE_WORKSPACE"
MEMORY = ":memory:"


def chosen_workspace(option: str | None) -> Path | None:
    """The folder that ``--workspace``, the environment or the default names; None in memory.

    Raises:
        UsageError: ``--workspace`` is empty.
    """
    if option is not None and not option.strip():
        raise UsageError("--workspace is empty: name a folder, or leave it out")
    named = option or os.environ.get(WORKSPACE_VARIABLE) or DEFAULT_WORKSPACE
    return None if named == MEMORY else Path(named)
