"""A workspace on a disk that is full: a clear message, nothing half-made, nothing lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import hanse
from hanse.errors import WorkspaceError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system of its own")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    random = np.random.default_rng(0)
    rows = pa.table({f"f{i}": random.normal(size=400_000) for i in range(4)})
    with hanse.connect(small_disk / "w") as session:
        session.sql("CREATE TABLE small AS SELECT * FROM VALUES (1), (2) AS t(a)")
        session.register("large", rows)
        with pytest.raises(WorkspaceError) as caught:
            session.sql("CREATE TABLE copied AS SELECT * FROM large")
        assert "the disk is full" in str(caught.value)
        assert "warehouse.duckdb" in str(caught.value)
        assert "free some space" in str(caught.value)
        assert session.sql("SELECT COUNT(*) FROM small").fetchall() == [(2,)]
    with hanse.connect(small_disk / "w") as session:
        assert session.sql("SHOW TABLES").fetchall() == [("small",)]
        assert session.sql("SELECT COUNT(*) FROM small").fetchall() == [(2,)]
