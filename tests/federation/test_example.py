"""The example of three stores: its databases, its publications and its scripts fit each other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import hanse
from hanse.federation import setup

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "federation"
RETAIL = ROOT.parent / "shared" / "data" / "online_retail.parquet"


def trained(tmp_path: Path, which: str, arguments: list[str]) -> dict[str, int]:
    """Do what the README says, with each silo in this process; the rows of each store that the model was measured on."""
    script = (EXAMPLE / f"train_{which}.sql").read_text()
    names = re.findall(r"CREATE SILO (\w+) OPTIONS \(subject = '\1'\)", script)
    league = tmp_path / "league"
    setup.init(league, names)
    made = subprocess.run(
        [sys.executable, str(EXAMPLE / "make_stores.py"), str(league), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split()[-1] for line in made.stdout.splitlines()] == [str(league / n / f"{n}.duckdb") for n in names]
    for name in names:
        with (league / name / "silo.toml").open("a") as file:
            file.write((EXAMPLE / f"publish_{which}.toml").read_text())
        here = f"database = '{league / name / name}.duckdb', config = '{league / name / 'silo.toml'}'"
        script = script.replace(f"subject = '{name}'", here)
    with hanse.connect(tmp_path / "headquarters") as session:
        results = [(result.kind, result.warnings) for result in session.run(script)]
        assert all(warnings == [] for _, warnings in results)
        return dict(session.sql("SELECT silo, rows FROM federated_evaluate(shoppers, 1)").fetchall())


def test_the_demo_stores_train_a_model(tmp_path: Path) -> None:
    measured = trained(tmp_path, "demo", [])
    assert sorted(measured) == ["comfort_wear", "garden_shop", "sport_style"]
    assert min(measured.values()) > 100


@pytest.mark.skipif(not RETAIL.is_file(), reason="the Online Retail data is not beside the repository")
def test_three_countries_train_a_model(tmp_path: Path) -> None:
    measured = trained(tmp_path, "online_retail", ["--online-retail", str(RETAIL)])
    assert measured == {"united_kingdom": 3920, "germany": 94, "france": 87}


def test_the_readme_names_every_file_of_the_folder() -> None:
    text = (EXAMPLE / "README.md").read_text()
    files = {path.name for path in EXAMPLE.iterdir() if path.is_file()} - {"README.md"}
    assert {name for name in files if f"`{name}`" not in text} == set()
    assert len(files) == 6
