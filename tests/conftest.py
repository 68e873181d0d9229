"""What every test may use: a session in memory, the folders of the helpers, and the data that may be absent."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hanse

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the referees' threads wait on each other where tests run side by side

TESTS = Path(__file__).resolve().parent

sys.path.insert(0, str(TESTS))
for folder in ("engines", "fixtures", "laws", "story"):  # the helpers in them are imported by their file's name
    sys.path.insert(0, str(TESTS / folder))


@pytest.fixture
def session() -> Iterator[hanse.Session]:
    """A session whose data and models are gone with it."""
    with hanse.connect() as opened:
        yield opened


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the repository that holds the article's statements and the UCI data."""
    folder = TESTS.parents[1] / "shared"
    if not (folder / "data" / "online_retail.parquet").is_file() or not (folder / "seed").is_dir():
        pytest.skip(f"the article's statements and the Online Retail data are not in {folder}")
    return folder


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Spark, started once for each process of tests."""
    import spark_session

    session = spark_session.start(tmp_path_factory.mktemp("spark"))
    yield session
    session.stop()


@pytest.fixture
def quick_spark(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings with which the Spark of another process is begun quickly, as that of this one is."""
    import spark_session

    folder = tmp_path_factory.mktemp("conf")
    lines = [f"{key} {value}" for key, value in spark_session.QUICK.items()]
    (folder / "spark-defaults.conf").write_text("\n".join(lines))
    monkeypatch.setenv("SPARK_CONF_DIR", str(folder))
