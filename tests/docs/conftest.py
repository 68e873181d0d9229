"""What the documentation's tests share: their helper's folder, and the demo's events."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pytest

from hanse import demo

sys.path.insert(0, str(Path(__file__).parent))  # the helper in it is imported by its file's name


@pytest.fixture(scope="session")
def events() -> pa.Table:
    """Ten thousand events of the demo."""
    return pa.Table.from_batches(list(demo.generate(10_000, 7)))
