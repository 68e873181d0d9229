"""What a statement about silos is refused for before anybody is asked: options out of bounds, and names."""

from __future__ import annotations

from pathlib import Path

import pytest
from silo_support import blobs, fill

import hanse
from hanse.errors import BindError


@pytest.fixture
def session(tmp_path: Path) -> hanse.Session:
    session = hanse.connect()
    for number, name in enumerate(("a", "b")):
        fill(tmp_path / f"{name}.duckdb", blobs([60, 40], seed=number))
        session.sql(f"CREATE SILO {name} OPTIONS (database = '{tmp_path / name}.duckdb')")
    return session


def training(options: str = "", columns: str = "x, y", name: str = "g") -> str:
    return (
        f"CREATE FEDERATED MODEL {name} OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 2{options}) "
        f"OVER SILOS (a, b) AS SELECT {columns} FROM features"
    )


@pytest.mark.parametrize("seconds", ["1e300", "604801", "0"])
def test_a_timeout_has_bounds(session: hanse.Session, seconds: str) -> None:
    message = r"TIMEOUT = .* at line 1, column \d+: need a number above 0, at most 604800"
    with pytest.raises(BindError, match=message):
        session.sql(training(f", TIMEOUT = {seconds}"))


def test_a_timeout_may_be_a_week(session: hanse.Session) -> None:
    assert session.sql(training(", TIMEOUT = 604800")).warnings == []
