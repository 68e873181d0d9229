"""Artifacts survive JSON to the last bit, and the registry keeps versions as its docstring promises."""

from __future__ import annotations

import datetime
import json
import math
import os
import random
import sqlite3
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.artifact import LIMIT_BYTES, SCHEMA_VERSION, Artifact
from hanse.errors import (
    ArtifactError,
    HanseError,
    ModelExistsError,
    ModelNotFoundError,
    RegistryError,
    WorkspaceError,
)
from hanse.registry import Registry

FIELDS: dict[str, Any] = {
    "model_type": "bisecting_kmeans",
    "options": {"num_clusters": 3, "seed": None, "distance_measure": "euclidean"},
    "transforms": ({"function": "standard_scaler", "mean": [1.5, -2.0]},),
    "features": ("a", "b"),
    "model": {"centroids": [[0.1, 1e-17], [1e308, -0.0]], "counts": [3, 4]},
    "training": {"rounds": 41, "inertia": 110576.0},
    "source_sql": "SELECT a, b FROM t -- ünïcode ✓",
    "row_count": 7,
    "created_at": "2026-01-02T03:04:05+00:00",
    "created_by": "ada",
    "hanse_version": "0.1.0",
    "fields": ("a", "b", "c"),
}


def artifact(**changes: Any) -> Artifact:
    return Artifact(**{**FIELDS, **changes})


def document(**changes: Any) -> dict[str, Any]:
    return {**json.loads(artifact().to_json()), **changes}


class Clock:
    """Tells one second later each time it is asked."""

    def __init__(self) -> None:
        self.now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

    def __call__(self) -> datetime.datetime:
        self.now += datetime.timedelta(seconds=1)
        return self.now


SERVER = os.environ.get("HANSE_TEST_REGISTRY_URL")
"""An empty PostgreSQL database of yours, to run the same tests against a server: postgresql+psycopg://..."""


@pytest.fixture(params=["memory", "file", "url", *(["server"] if SERVER else [])])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    path = tmp_path / "registry.sqlite"
    target = {"memory": None, "file": path, "url": f"sqlite:///{path}", "server": SERVER}[request.param]
    with Registry.open(target, clock=Clock()) as opened:
        for name in {info.name for info in opened.list()}:
            opened.drop(name)
        yield Registry(opened._database, Clock())


# artifacts


def test_an_artifact_survives_json_whole_and_its_json_is_deterministic() -> None:
    data = artifact().to_json()
    assert Artifact.from_json(data) == artifact()
    assert Artifact.from_json(data.decode()) == artifact()
    assert list(json.loads(data)) == sorted(json.loads(data))
    reordered = artifact(options=dict(reversed(list(FIELDS["options"].items()))))
    assert reordered.to_json() == data
    assert json.loads(data)["schema_version"] == SCHEMA_VERSION


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_floats_survive_to_the_last_bit(numbers: list[float]) -> None:
    back = Artifact.from_json(artifact(model={"x": numbers}).to_json()).model["x"]
    assert struct.pack(f"{len(numbers)}d", *back) == struct.pack(f"{len(numbers)}d", *numbers)
    assert all(type(number) is float for number in back)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"centroids": [[1.0, math.nan]]}, r"model\.centroids\[0\]\[1\] = nan"),
        ({"x": math.inf}, r"model\.x = inf"),
        ({"x": np.float64(1.0)}, r"model\.x is of type numpy\.float64"),
        ({"x": np.zeros(2)}, r"model\.x is of type numpy\.ndarray"),
        ({"x": b"bytes"}, r"model\.x is of type builtins\.bytes"),
        ({"x": datetime.date(2026, 1, 1)}, r"model\.x is of type datetime\.date"),
        ({1: 2.0}, "model has the key 1: keys must be strings"),
        ({"x": "\ud800"}, "cannot be written as JSON"),
        ({"x": 10**5000}, "cannot be written as JSON"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(model: dict[Any, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        artifact(model=model).to_json()


def test_a_circle_is_refused() -> None:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    with pytest.raises(ArtifactError, match="nested deeper than 100 levels"):
        artifact(model=circle).to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.json is not JSON"),
        ("CREATE MODEL", "x.json is not JSON: JSON is malformed"),
        (b"\x80\x04\x95pickle", "x.json is not JSON"),
        (b'{"schema_version": 1, "model_type": "\xff"}', "x.json is not JSON"),
        ("\ud800", "x.json is not JSON"),
        ("[1]", "x.json is not a model: Expected `object`, got `array`"),
        ("{}", "x.json has no schema_version"),
        ('{"schema_version": 4, "novelty": 1}', r"made by a newer Hanse \(schema_version 4.*: upgrade Hanse"),
        ('{"schema_version": 0}', "schema_version = 0: need a whole number from 1"),
        ('{"schema_version": "1"}', "schema_version = '1'"),
        ('{"schema_version": true}', "schema_version = True"),
        ('{"schema_version":' + "[" * 100_000, "x.json is not JSON"),
    ],
)
def test_a_file_that_is_not_an_artifact_is_refused_with_its_name(text: str | bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Artifact.from_json(text, where="x.json")


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "schema_version"])
def test_a_missing_field_is_named(name: str) -> None:
    broken = document()
    del broken[name]
    with pytest.raises(ArtifactError, match=f"missing required field `{name}`.*EXPORT MODEL"):
        Artifact.from_json(json.dumps(broken))


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "schema_version"])
def test_a_field_of_another_type_is_named(name: str) -> None:
    with pytest.raises(ArtifactError, match=f"Expected .*got `float` - at `{name}`"):
        Artifact.from_json(json.dumps(document(**{name: 1.5})))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": 1}, "unknown field `extra`"),
        ({"features": ["a", 1]}, r"at `features\[1\]`"),
        ({"features": ["a", "a"]}, "features = .*need distinct names"),
        ({"row_count": -1}, "row_count = -1: need 0 or more"),
        ({"created_at": "yesterday"}, "created_at = 'yesterday': need an ISO-8601 time in UTC"),
        ({"created_at": "2026-01-02T03:04:05"}, "need an ISO-8601 time in UTC"),
        ({"model_type": " "}, "model_type = ' '"),
    ],
)
def test_a_field_without_meaning_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Artifact.from_json(json.dumps(document(**changes)))


def test_a_number_out_of_range_in_a_file_is_refused() -> None:
    text = json.dumps(document()).replace("110576.0", "1e999")
    with pytest.raises(ArtifactError, match=r"Number out of range - at `training\[\.\.\.\]`"):
        Artifact.from_json(text)


def test_too_big_is_refused_in_both_directions() -> None:
    with pytest.raises(ArtifactError, match="bytes, more than the limit of 67,108,864"):
        artifact(source_sql="x" * LIMIT_BYTES).to_json()
    with pytest.raises(ArtifactError, match="bytes, more than the limit of 67,108,864"):
        Artifact.from_json(b" " * (LIMIT_BYTES + 1))


@given(st.binary() | st.text().map(lambda text: json.dumps(document(source_sql=text))[:-3].encode()))
def test_no_bytes_raise_a_foreign_error(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        Artifact.from_json(data)


# versions


def test_a_model_is_created_loaded_and_listed(registry: Registry) -> None:
    info = registry.create("Shoppers", artifact())
    assert (info.name, info.version, info.model_type) == ("Shoppers", 1, "bisecting_kmeans")
    assert info.source == FIELDS["source_sql"]
    assert info.transforms == FIELDS["transforms"]
    assert info.fields == ("a", "b", "c")
    assert (info.row_count, info.created_by) == (7, "ada")
    assert info.created == info.updated == "2026-01-01T00:00:01.000+00:00"
    assert len(info.model_id) == 32
    assert registry.load("shoppers") == (info, artifact())
    assert registry.info("SHOPPERS", 1) == info
    assert registry.list() == [info]


def test_a_name_is_created_once(registry: Registry) -> None:
    registry.create("m", artifact())
    with pytest.raises(ModelExistsError, match=r"model M exists already: use CREATE OR REPLACE MODEL .* or UPDATE"):
        registry.create("M", artifact(row_count=8))
    with pytest.raises(ModelExistsError, match="exists already"):
        registry.reserve("M")
    assert registry.load("m")[1].row_count == 7
    registry.reserve("n")
    assert len(registry.list()) == 1


def test_versions_grow_and_share_an_id(registry: Registry) -> None:
    first = registry.create("m", artifact())
    second = registry.update("M", artifact(row_count=8))
    assert (second.version, second.name, second.model_id) == (2, "m", first.model_id)
    assert registry.load("m")[1].row_count == 8
    assert registry.load("m", 1)[1].row_count == 7
    assert registry.list() == [first, second]


def test_replace_overwrites_the_latest_version_only(registry: Registry) -> None:
    first = registry.replace("m", artifact(row_count=1))
    assert first.version == 1
    second = registry.update("m", artifact(row_count=2))
    replaced = registry.replace("m", artifact(row_count=3, model_type="kmeans"))
    assert (replaced.version, replaced.model_id) == (2, first.model_id)
    assert replaced.created == second.created
    assert replaced.updated > second.updated
    assert replaced.model_type == "kmeans"
    assert [registry.load("m", version)[1].row_count for version in (1, 2)] == [1, 3]


def test_a_version_number_is_never_given_twice_while_the_model_exists(registry: Registry) -> None:
    registry.create("m", artifact())
    registry.update("m", artifact())
    assert registry.drop("m", 2) == 1
    assert registry.load("m")[0].version == 1
    assert registry.update("m", artifact()).version == 3
    with pytest.raises(ModelNotFoundError, match="no version 2 of model m: it has 1, 3"):
        registry.load("m", 2)


def test_dropping_the_last_version_frees_the_name_and_its_id(registry: Registry) -> None:
    first = registry.create("m", artifact())
    assert registry.drop("m", 1) == 1
    assert not registry.exists("m")
    again = registry.create("M", artifact())
    assert (again.version, again.name) == (1, "M")
    assert again.model_id != first.model_id


def test_dropping_a_model_drops_all_versions(registry: Registry) -> None:
    registry.create("m", artifact())
    registry.update("m", artifact())
    other = registry.create("other", artifact())
    assert registry.drop("M") == 2
    assert registry.list() == [other]
    registry.create("m", artifact())
    assert [info.version for info in registry.list() if info.name == "m"] == [1]


@pytest.mark.parametrize("verb", ["update", "load", "info", "drop"])
def test_an_unknown_model_names_the_nearest(registry: Registry, verb: str) -> None:
    arguments = (artifact(),) if verb == "update" else ()
    with pytest.raises(ModelNotFoundError, match="no model shopers: there are no models yet"):
        getattr(registry, verb)("shopers", *arguments)
    registry.create("Shoppers", artifact())
    with pytest.raises(ModelNotFoundError, match=r"no model shopers: did you mean Shoppers\?"):
        getattr(registry, verb)("shopers", *arguments)


@pytest.mark.parametrize("version", [0, -1, 2, 2**70])
@pytest.mark.parametrize("verb", ["load", "info", "drop"])
def test_an_unknown_version_names_the_existing_ones(registry: Registry, verb: str, version: int) -> None:
    registry.create("m", artifact())
    with pytest.raises(ModelNotFoundError, match=f"no version {version} of model m: it has 1"):
        getattr(registry, verb)("m", version)


@pytest.mark.parametrize("name", ["straße ✓", "日本語", "catalog.schema.model", "a b", "'; DROP TABLE model; --", "É"])
def test_any_sensible_name_works(registry: Registry, name: str) -> None:
    info = registry.create(name, artifact())
    assert registry.load(name.upper() if name != "straße ✓" else name)[0] == info
    assert info.name == name


def test_an_accent_is_one_name_however_composed(registry: Registry) -> None:
    registry.create("caf\u00e9", artifact())
    assert registry.exists("CAFE\u0301")


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "\ud800", "a\nb", "x" * 256])
def test_a_name_that_cannot_be_stored_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(RegistryError, match="a model's name"):
        registry.create(name, artifact())
    assert registry.list() == []


def test_a_refused_artifact_changes_nothing(registry: Registry) -> None:
    info = registry.create("m", artifact())
    for verb in (registry.replace, registry.update):
        with pytest.raises(ArtifactError):
            verb("m", artifact(model={"x": math.nan}))
    with pytest.raises(ArtifactError):
        registry.create("n", artifact(model={"x": math.nan}))
    assert registry.list() == [info]


def test_list_is_ordered_by_name_and_version(registry: Registry) -> None:
    for name in ("b", "A", "c"):
        registry.create(name, artifact())
    registry.update("a", artifact())
    assert [(info.name, info.version) for info in registry.list()] == [("A", 1), ("A", 2), ("b", 1), ("c", 1)]


def test_threads_share_one_registry(registry: Registry) -> None:
    registry.create("m", artifact())
    threads = [threading.Thread(target=lambda: registry.update("m", artifact())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [info.version for info in registry.list()] == list(range(1, 10))


# what lies on disk


def test_a_registry_is_one_plain_file_without_pickle(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    with Registry.open(path) as registry:
        registry.create("m", artifact())
    assert [entry.name for entry in tmp_path.iterdir()] == ["registry.sqlite"]
    with sqlite3.connect(path) as raw:
        (stored,) = raw.execute("SELECT artifact FROM hanse_model_version").fetchone()
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    raw.close()
    assert json.loads(stored)["row_count"] == 7
    with Registry.open(path) as registry:
        assert registry.load("m")[1] == artifact()


def test_deleting_a_model_leaves_no_rows_behind(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    with Registry.open(path) as registry:
        registry.create("m", artifact())
        registry.update("m", artifact())
        registry.drop("m")
    raw = sqlite3.connect(path)
    assert raw.execute(
        "SELECT (SELECT count(*) FROM hanse_model), (SELECT count(*) FROM hanse_model_version)"
    ).fetchone() == (0, 0)
    raw.close()


def test_a_registry_of_a_newer_hanse_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    Registry.open(path).close()
    raw = sqlite3.connect(path)
    raw.execute("UPDATE hanse_schema SET version = 9")
    raw.commit()
    raw.close()
    with pytest.raises(WorkspaceError, match=r"registry\.sqlite was made by a newer Hanse \(its schema is 9.*upgrade"):
        Registry.open(path)


def test_an_artifact_of_a_newer_hanse_in_an_old_registry_is_named(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    with Registry.open(path) as registry:
        registry.create("m", msgspec.structs.replace(artifact(), schema_version=SCHEMA_VERSION + 1))
        assert registry.list()[0].name == "m"
        with pytest.raises(ArtifactError, match=r"model m version 1 in registry .* made by a newer Hanse"):
            registry.load("m")


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE bookmarks (url TEXT)")
    raw.commit()
    raw.close()
    before = path.read_bytes()
    with pytest.raises(
        WorkspaceError, match=r"a database of another program \(it holds bookmarks\): name another file"
    ):
        Registry.open(path)
    assert path.read_bytes() == before


def test_an_altered_artifact_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    with Registry.open(path) as registry:
        registry.create("m", artifact())
        assert path.read_bytes().count(b"110576") == 1
        path.write_bytes(path.read_bytes().replace(b"110576", b"110577"))
        with pytest.raises(ArtifactError, match=r"model m version 1 .* is damaged \(its checksum does not agree\)"):
            registry.load("m")


def test_random_damage_never_raises_a_foreign_error(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    with Registry.open(path) as registry:
        registry.create("m", artifact())
        registry.update("m", artifact())
    sound = path.read_bytes()
    dice = random.Random(7)
    refused = 0
    for _ in range(300):
        damaged = bytearray(sound)
        start = dice.randrange(len(damaged))
        for offset in range(start, min(start + dice.choice([1, 8, 512]), len(damaged))):
            damaged[offset] = dice.randrange(256)
        path.write_bytes(damaged)
        try:
            with Registry.open(path) as registry:
                for info in registry.list():
                    assert registry.load(info.name, info.version)[1] == artifact()
        except HanseError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("target", ["nosuch://host/db", "postgresql+nosuchdriver://host/db", "sqlite:///x?mode=ro"])
def test_an_url_that_leads_nowhere_is_refused(target: str) -> None:
    with pytest.raises(WorkspaceError, match="registry"):
        Registry.open(target)
