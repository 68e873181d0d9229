"""Folders that Spark MLlib saved and somebody damaged, and those that cannot be carried over: refused by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from make_mllib_models import FOLDER
from mllib_folders import copied, dense, edit_metadata, edit_rows, part, sparse, stage

from hanse.artifact import Artifact
from hanse.errors import ArtifactError, HanseError, UnsupportedError, WorkspaceError
from hanse.mllib.importing import read_model


def read(folder: Path) -> Artifact:
    return read_model(str(folder), [], created_by="me", hanse_version="0")[0]


def refused(folder: Path, kind: type[HanseError], *parts: str) -> None:
    """Reading must fail with a message that holds the folder and ``parts``."""
    with pytest.raises(HanseError) as raised:
        read(folder)
    assert type(raised.value) is kind, raised.value
    for text in (str(folder), *parts):
        assert text in str(raised.value)


def test_when_and_by_which_spark_it_was_saved() -> None:
    artifact = read(FOLDER / "kmeans")
    assert artifact.training["imported_from"] == "Spark MLlib 4.3.0"
    assert artifact.created_at.startswith("20")
    assert (artifact.created_by, artifact.hanse_version, artifact.source_sql) == ("me", "0", "")
    assert artifact.options["kmeans_init_method"] == "k-means||"


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_model_of_an_older_spark(tmp_path: Path, version: str) -> None:
    """Spark 2 wrote plain text parts, no defaults beside what was set, and trees without a cost or a measure."""
    folder = copied("bisecting", tmp_path)

    def older(data: dict[str, Any]) -> None:
        data["paramMap"] = {**data.pop("defaultParamMap"), **data["paramMap"]}
        data["sparkVersion"] = "2.4.8"

    def tree(data: dict[str, Any]) -> None:
        data["version"] = version
        del data["trainingCost"]
        if version == "1.0":
            del data["distanceMeasure"]

    edit_metadata(folder, older)
    edit_metadata(folder / "data", tree)
    for inner in (folder, folder / "data"):
        file = part(inner / "metadata", "part-*")
        file.rename(file.with_name("part-00000"))
    before, after = read(FOLDER / "bisecting"), read(folder)
    assert after.model == before.model
    assert after.options == before.options


def test_a_pipeline_of_ten_stages_and_one_within_another(tmp_path: Path) -> None:
    """Stages are numbered with as many digits as there are stages, and those that feed nothing are left out."""
    folder = copied("pipeline_min_max", tmp_path)
    inner = folder / "stages" / "3_PipelineModel_in"
    shutil.copytree(folder / "metadata", inner / "metadata")
    scaler = stage(folder, "MinMaxScaler")
    shutil.copytree(scaler, inner / "stages" / f"0_{scaler.name[2:]}")
    edit_metadata(inner, lambda data: data["paramMap"].update(stageUids=[scaler.name[2:]]))
    edit_metadata(inner / "stages" / f"0_{scaler.name[2:]}", lambda data: data["paramMap"].update(outputCol="unused"))

    def longer(data: dict[str, Any]) -> None:
        data["paramMap"]["stageUids"] += ["PipelineModel_in"]

    edit_metadata(folder, longer)
    assert read(folder).transforms == read(FOLDER / "pipeline_min_max").transforms


# -- what is no model ---------------------------------------------------------------------------


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    cure = "name the folder that was given to save(), or a file that EXPORT MODEL wrote"
    refused(tmp_path, ArtifactError, "in which Spark MLlib saved no model", cure)
    (tmp_path / "metadata").mkdir()
    refused(tmp_path, ArtifactError, "in which Spark MLlib saved no model")
    (tmp_path / "metadata" / "part-00000").write_text("\n")
    refused(tmp_path, ArtifactError, "metadata is empty")


@pytest.mark.parametrize("text", ["not json", '{"class": ', "\x00\x01", '{"paramMap": {"a": ' + "[" * 5000])
def test_metadata_that_is_no_json(tmp_path: Path, text: str) -> None:
    folder = copied("kmeans", tmp_path)
    part(folder / "metadata", "part-*").write_text(text)
    refused(folder, ArtifactError, "is not JSON", "save the model again, or copy the whole folder again")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("class", None, "`class`"),
        ("class", 3, "Expected `str`, got `int` - at `$.class`"),
        ("timestamp", "today", "$.timestamp"),
        ("timestamp", 10**18, "timestamp = 1000000000000000000"),
        ("sparkVersion", None, "`sparkVersion`"),
        ("sparkVersion", "new", "sparkVersion = 'new'"),
        ("paramMap", None, "`paramMap`"),
        ("paramMap", {"predictionCol": 3}, "predictionCol = 3"),
        ("paramMap", {"featuresCol": []}, "featuresCol = []"),
    ],
)
def test_metadata_with_a_wrong_field(tmp_path: Path, key: str, value: Any, message: str) -> None:
    folder = copied("kmeans", tmp_path)
    edit_metadata(folder, lambda data: data.pop(key) if value is None else data.update({key: value}))
    refused(folder, ArtifactError, message, "save the model again")


@pytest.mark.parametrize("version", ["1.6.3", "5.0.0", "40.1"])
def test_a_spark_that_is_not_known(tmp_path: Path, version: str) -> None:
    folder = copied("kmeans", tmp_path)
    edit_metadata(folder, lambda data: data.update(sparkVersion=version))
    refused(folder, UnsupportedError, f"was saved by Spark {version}", "IMPORT MODEL reads what Spark 2 to 4 saved")


def test_a_tree_of_a_format_that_is_not_known(tmp_path: Path) -> None:
    folder = copied("bisecting", tmp_path)
    edit_metadata(folder / "data", lambda data: data.update(version="4.0"))
    refused(folder, UnsupportedError, "has format version '4.0'", "IMPORT MODEL reads 1.0, 2.0, 3.0")


# -- what cannot be carried over ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "org.apache.spark.ml.clustering.GaussianMixtureModel",
            "is a org.apache.spark.ml.clustering.GaussianMixtureModel: IMPORT MODEL reads BisectingKMeansModel, "
            "KMeansModel, VectorAssembler, StandardScalerModel, MinMaxScalerModel, and a PipelineModel of them",
        ),
        ("org.apache.spark.ml.clustering.KMeans", "which is not trained yet: save what its fit() returns"),
        ("org.apache.spark.ml.Pipeline", "which is not trained yet: save what its fit() returns"),
    ],
)
def test_another_class(tmp_path: Path, kind: str, message: str) -> None:
    folder = copied("kmeans", tmp_path)
    edit_metadata(folder, lambda data: data.update({"class": kind}))
    refused(folder, UnsupportedError, message)


def test_a_pipeline_with_another_stage(tmp_path: Path) -> None:
    folder = copied("pipeline_standard", tmp_path)
    scaler = stage(folder, "StandardScaler")
    edit_metadata(scaler, lambda data: data.update({"class": "org.apache.spark.ml.feature.PCAModel"}))
    refused(folder, UnsupportedError, scaler.name, "is a org.apache.spark.ml.feature.PCAModel", "IMPORT MODEL reads")


def test_a_pipeline_without_a_clustering_or_with_two(tmp_path: Path) -> None:
    folder = copied("pipeline_standard", tmp_path)
    edit_metadata(folder, lambda data: data["paramMap"]["stageUids"].pop())
    refused(folder, UnsupportedError, "holds 0 clusterings: need one BisectingKMeansModel or KMeansModel")
    shutil.copytree(stage(folder, "BisectingKMeans"), folder / "stages" / "3_again")
    edit_metadata(folder, lambda data: data["paramMap"].update(stageUids=_uids(folder)))
    refused(folder, UnsupportedError, "holds 2 clusterings")


def _uids(folder: Path) -> list[str]:
    return [path.name.partition("_")[2] for path in sorted((folder / "stages").iterdir())]


def test_another_distance(tmp_path: Path) -> None:
    folder = copied("kmeans", tmp_path)
    edit_metadata(folder, lambda data: data["paramMap"].update(distanceMeasure="manhattan"))
    refused(folder, UnsupportedError, "distanceMeasure = 'manhattan'", "IMPORT MODEL reads euclidean and cosine")


def test_a_cosine_model_of_which_spark_predicts_two_things(tmp_path: Path) -> None:
    """A loaded KMeansModel of Spark's takes distances to these centres, and the one that was saved took directions."""
    folder = copied("kmeans_cosine", tmp_path)
    edit_rows(folder, lambda rows: rows[1].update(clusterCenter=dense(3.0, 0.0, 4.0)))
    refused(
        folder, UnsupportedError, "cluster 1 has a centre of length 5", "Spark predicts otherwise once it has loaded"
    )


def test_a_vector_that_no_stage_assembles(tmp_path: Path) -> None:
    folder = copied("pipeline_standard", tmp_path)
    edit_metadata(stage(folder, "VectorAssembler"), lambda data: data["paramMap"].update(outputCol="other"))
    assert read(folder).features == ("features_0", "features_1")
    both = {"inputCols": ["scaled", "age"], "outputCol": "x"}
    edit_metadata(stage(folder, "VectorAssembler"), lambda data: data["paramMap"].update(both))
    edit_metadata(stage(folder, "BisectingKMeans"), lambda data: data["paramMap"].update(featuresCol="x"))
    assembler, scaler = stage(folder, "VectorAssembler"), stage(folder, "StandardScaler")
    assembler.rename(assembler.with_name(f"1{assembler.name[1:]}"))
    scaler.rename(scaler.with_name(f"0{scaler.name[1:]}"))
    edit_metadata(folder, lambda data: data["paramMap"].update(stageUids=_uids(folder)))
    refused(folder, UnsupportedError, "reads a vector, features, and beside it age", "assemble all columns")


def test_a_column_that_stands_twice(tmp_path: Path) -> None:
    folder = copied("pipeline_standard", tmp_path)
    edit_metadata(stage(folder, "VectorAssembler"), lambda data: data["paramMap"].update(inputCols=["a", "A"]))
    refused(folder, UnsupportedError, "reads column a twice", "a feature may stand once")


# -- damage -------------------------------------------------------------------------------------


def test_a_file_that_was_changed_or_cut_off(tmp_path: Path) -> None:
    folder = copied("kmeans", tmp_path)
    (file,) = (path for path in (folder / "data").glob("*.parquet") if path.name[0] != ".")
    whole = bytearray(file.read_bytes())
    whole[100] ^= 1
    file.write_bytes(whole)
    refused(folder, ArtifactError, file.name, "its checksum in", "does not agree")
    part(folder / "data", "*.parquet").write_bytes(whole[:200])
    refused(folder, ArtifactError, file.name, "is not a parquet file")
    file.unlink()
    refused(folder, ArtifactError, "data holds no parquet file")


def test_a_checksum_that_is_none(tmp_path: Path) -> None:
    for number, data in enumerate((b"", b"crc\0", b"crc\0\0\0\0\0", b"what is this")):
        folder = copied("kmeans", tmp_path / str(number))
        (checksum,) = (folder / "data").glob(".*.crc")
        checksum.write_bytes(data)
        refused(folder, ArtifactError, "does not agree")


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("kmeans", lambda rows: rows.clear(), "data has no rows"),
        ("kmeans", lambda rows: rows[0].update(clusterIdx=9), "its clusters are numbered [1, 2, 3, 9], not from 0"),
        ("kmeans", lambda rows: rows[0].update(clusterCenter=dense(1.0)), "its centres have [1, 2, 2, 2] features"),
        ("kmeans", lambda rows: rows[0].update(clusterCenter=dense(1.0, float("nan"))), "a number that is not finite"),
        ("kmeans", lambda rows: rows[0].update(clusterCenter={**dense(1.0, 2.0), "type": 7}), "a vector of type 7"),
        ("kmeans", lambda rows: rows[0].update(clusterCenter=sparse(2, [5], [1.0])), "indices [5]"),
        ("kmeans", lambda rows: rows[0].update(clusterCenter=sparse(2, [0, 1], [1.0])), "indices [0, 1]"),
        ("kmeans", lambda rows: rows[0].update(clusterCenter=None), "clusterCenter"),
        ("bisecting", lambda rows: rows[0].update(children=[-1]), "node -1 is missing, or stands twice in the tree"),
        ("bisecting", lambda rows: rows[-1].update(children=[7, 8]), "node 7 is missing"),
        ("bisecting", lambda rows: rows[-1].update(children=[0, 1, 2]), "has 3 children, where two are wanted"),
        ("bisecting", lambda rows: rows[-1].update(children=[]), "its leaves are numbered [-1], not from 0"),
        ("bisecting", lambda rows: rows[0].update(center=dense(1.0)), "has 1 features, and others 2"),
        ("bisecting", lambda rows: rows[0].update(size=-4), "cluster 0 has size -4"),
        ("bisecting", lambda rows: rows[0].update(cost=float("inf")), "and cost inf"),
        ("bisecting_cosine", lambda rows: rows[0].update(center=dense(0.0, 0.0, 0.0)), "a centre of length 0"),
    ],
)
def test_rows_that_are_no_model(tmp_path: Path, name: str, edit: Callable[[Any], None], message: str) -> None:
    folder = copied(name, tmp_path)
    edit_rows(folder / "data" if name.startswith("bisecting") else folder, edit)
    refused(folder, ArtifactError, message, "save the model again, or copy the whole folder again")


def test_a_column_that_is_missing(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = copied("kmeans", tmp_path)
    pq.write_table(pa.table({"clusterIdx": [0]}), part(folder / "data", "*.parquet"))
    refused(folder, ArtifactError, "missing required field `clusterCenter`")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda rows: rows[0].update(std=dense(1.0)), "vectors of 2 and of 1 numbers"),
        (
            lambda rows: rows[0].update(std=dense(1.0), mean=dense(1.0)),
            "standard_scaler(features) scales 1, and 2 columns",
        ),
        (lambda rows: rows.append(rows[0]), "has 2 rows, where one is wanted"),
        (lambda rows: rows[0].update(mean=dense(1.0, float("inf"))), "a number that is not finite"),
    ],
)
def test_a_damaged_scaler(tmp_path: Path, edit: Callable[[Any], None], message: str) -> None:
    folder = copied("pipeline_standard", tmp_path)
    edit_rows(stage(folder, "StandardScaler"), edit)
    refused(folder, ArtifactError, message)


def test_a_pipeline_whose_parts_do_not_fit(tmp_path: Path) -> None:
    folder = copied("pipeline_min_max", tmp_path)
    shutil.copytree(FOLDER / "kmeans_cosine" / "data", folder / "new")
    clustering = stage(folder, "KMeans")
    shutil.rmtree(clustering / "data")
    (folder / "new").rename(clustering / "data")
    refused(folder, ArtifactError, "the model has 3 features, and 2 columns go in")
    edit_metadata(stage(folder, "VectorAssembler"), lambda data: data["paramMap"].update(inputCols=["clicks"]))
    refused(folder, ArtifactError, "min_max_scaler(features) scales 2, and 1 column goes in")


@pytest.mark.parametrize("uids", [["../kmeans"], ["a/b"], ["/etc"]])
def test_a_stage_outside_the_folder(tmp_path: Path, uids: list[str]) -> None:
    folder = copied("pipeline_standard", tmp_path)
    edit_metadata(folder, lambda data: data["paramMap"].update(stageUids=uids))
    refused(folder, ArtifactError, f"stage 0 is called {uids[0]!r}")


def test_a_stage_that_is_missing(tmp_path: Path) -> None:
    folder = copied("pipeline_standard", tmp_path)
    scaler = stage(folder, "StandardScaler")
    shutil.rmtree(scaler / "data")
    refused(folder, ArtifactError, scaler.name, "data holds no parquet file")
    shutil.rmtree(scaler)
    refused(folder, ArtifactError, f"its stage {scaler.name} is missing")
    edit_metadata(folder, lambda data: data["paramMap"].update(stageUids="VectorAssembler"))
    refused(folder, ArtifactError, "PipelineModel: stageUids = 'VectorAssembler'")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    folder = copied("kmeans", tmp_path)
    file = part(folder / "data", "*.parquet")
    with file.open("ab") as handle:
        handle.truncate(65 * 1024 * 1024)
    refused(folder, WorkspaceError, file.name, "larger than the limit")
