"""What the name of a table or view means: what the catalog holds, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import hanse
from hanse import errors


@pytest.fixture
def embedded() -> Iterator[hanse.Session]:
    """A session on DuckDB: Spark's catalog takes letters, digits and _ only."""
    with hanse.connect() as opened:
        yield opened


@pytest.mark.parametrize("name", ["raw", "call", "string", "quote", "parts", "self", "duckdb", "session", "errors"])
def test_what_python_calls_by_that_name_is_no_table(session: hanse.Session, name: str) -> None:
    with pytest.raises(errors.BindError, match=f"unknown table {name} at line 1, column 15"):
        session.sql(f"SELECT * FROM {name}")
    session.sql(f"CREATE TABLE {name} AS SELECT 1 AS x")
    assert session.sql(f"SELECT x FROM {name}").fetchall() == [(1,)]


@pytest.mark.parametrize("name", ["`d.csv`", "d.csv", "`./d.csv`"])
def test_a_file_is_no_table(session: hanse.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "d.csv").write_text("x,y\n1,2\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.BindError, match=r"unknown table (\./)?d\.csv at line 1, column 15"):
        session.sql(f"SELECT * FROM {name}")
    with pytest.raises(errors.BindError, match=r"unknown table (\./)?d\.csv"):
        session.sql(f"INSERT INTO {name} SELECT 1, 2")
    assert session.sql(f"SELECT * FROM csv.`{tmp_path / 'd.csv'}`").fetchall() == [("x", "y"), ("1", "2")]


def test_a_table_may_be_called_like_a_file(
    embedded: hanse.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.csv").write_text("x,y\n1,2\n")
    monkeypatch.chdir(tmp_path)
    embedded.sql("CREATE TABLE `d.csv` AS SELECT 3 AS q")
    assert embedded.sql("SELECT * FROM `d.csv`").fetchall() == [(3,)]
    assert embedded.sql("DESCRIBE `d.csv`").fetchall() == [("q", "INTEGER")]
    embedded.sql("DROP TABLE `d.csv`")
    assert (tmp_path / "d.csv").exists()


def test_a_name_with_quotes_and_dots(embedded: hanse.Session) -> None:
    embedded.sql("CREATE VIEW `a.b'c\"d` AS SELECT 1 AS `x y`")
    assert embedded.sql("SELECT `x y` FROM `a.b'c\"d`").fetchall() == [(1,)]
