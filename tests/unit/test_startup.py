"""What a session loads for a statement: what it needs, and the registry while a table is made that takes long."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "hanse.federation",
    "hanse.report",
    "hanse.sql.spark",
    "jinja2",
    "nats",
    "pandas",
    "pyspark",
    "scipy",
    "sqlalchemy",
)


@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        ("SELECT 1", []),
        ("CREATE TABLE t AS SELECT sum(sqrt(id)) AS s FROM range(100000000)", ["sqlalchemy"]),
        ("SHOW MODELS", ["sqlalchemy"]),
        ("SHOW SILOS", ["hanse.federation", "sqlalchemy"]),
    ],
)
def test_a_statement_loads_what_it_needs(text: str, loaded: list[str]) -> None:
    code = (
        f"import sys, hanse; hanse.connect().sql({text!r}).fetchall(); "
        f"print(sorted(m for m in {HEAVY} if m in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(loaded)
