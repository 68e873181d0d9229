"""What a statement about silos is refused for before anybody is asked: options out of bounds, and names."""

from __future__ import annotations

from pathlib import Path

import pytest
from silo_support import blobs, fill, silo_toml

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


def test_column_names_match_in_any_case(session: hanse.Session) -> None:
    assert session.sql(training(columns="X, Y")).warnings == []
    assert len(session.sql("SELECT * FROM model_predict(g, 1, SELECT 1.0 AS x, 2.0 AS y)").fetchall()) == 1


def test_a_silo_that_nobody_could_ask_is_not_created(session: hanse.Session, tmp_path: Path) -> None:
    message = r"silo größe at line 1, column 13: need at most 64 letters, digits, _ and -"
    with pytest.raises(BindError, match=message):
        session.sql(f"CREATE SILO `größe` OPTIONS (database = '{tmp_path}/a.duckdb')")
    assert [row[0] for row in session.sql("SHOW SILOS").fetchall()] == ["a", "b"]


def test_a_silo_with_a_file_of_its_own_is_called_there_as_it_says(session: hanse.Session, tmp_path: Path) -> None:
    fill(tmp_path / "shop.duckdb", blobs([60, 40], seed=2))
    config = silo_toml(tmp_path, 'install = "auto"')
    session.sql(f"CREATE SILO `größe` OPTIONS (config = '{config}')")
    assert session.sql(training().replace("(a, b)", "(a, `größe`)")).warnings == []


@pytest.mark.parametrize("name", ["Modell_ü", "2024_model", "a" * 194])
@pytest.mark.parametrize("before", ["", "EXPLAIN EGRESS "])
def test_a_model_that_no_silo_could_take_over_is_not_trained(session: hanse.Session, name: str, before: str) -> None:
    message = rf"model {name} at line 1, column \d+: silos take a model over as league\.NAME, where NAME has letters"
    with pytest.raises(BindError, match=message):
        session.sql(before + training(name=f"`{name}`"))
    assert session.sql("SHOW EGRESS").fetchall() == []
