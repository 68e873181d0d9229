"""Files that a session puts into a table."""

from __future__ import annotations

from pathlib import Path

import pytest

import hanse
from hanse.errors import UsageError


def test_one_file_needs_no_list(tmp_path: Path, session: hanse.Session) -> None:
    file = tmp_path / "visits.csv"
    file.write_text("customer,visits\na,1\nb,2\n")
    for given in (file, str(file), [file], [str(file)]):
        assert session.load("t", given) == 2
    assert session.sql("SELECT SUM(visits) FROM t").fetchall() == [(3,)]
    with pytest.raises(UsageError, match=r"nowhere\.csv does not exist: check the path"):
        session.load("t", str(tmp_path / "nowhere.csv"))
    assert session.sql("SELECT COUNT(*) FROM t").fetchall() == [(2,)]
