"""The stages of a pipeline that Spark MLlib saved: their parameters, and Hanse's transforms for those that prepare."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final, TypeVar

import msgspec

from hanse.decoding import converted
from hanse.errors import UnsupportedError
from hanse.mllib.folder import Folder, Vector
from hanse.transforms.base import Fitted
from hanse.transforms.chain import ChainStep
from hanse.transforms.min_max_scaler import MinMaxScaler
from hanse.transforms.standard_scaler import StandardScaler
from hanse.transforms.vector_assembler import VectorAssembler

__all__ = ["PIPELINE", "PREPARING", "Stage", "length_of", "stages_of", "step_of"]

T = TypeVar("T")

PIPELINE: Final = "org.apache.spark.ml.PipelineModel"
_OLDEST, _NEWEST = 2, 4
"""Major versions of Spark whose models are read."""


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What MLlib writes of each stage; ``class`` is a Java class."""

    kind: str = msgspec.field(name="class")
    timestamp: int
    spark_version: str
    uid: str
    param_map: dict[str, Any]
    default_param_map: dict[str, Any] = {}


@dataclass(frozen=True)
class Stage:
    """A stage of a pipeline, or a model that was saved alone.

    Args:
        folder: where it was saved.
        kind: its Java class.
        uid: how MLlib calls it.
        spark_version: which saved it.
        saved_at: when, in UTC.
        parameters: those that were set, and the defaults of the others.
    """

    folder: Folder
    kind: str
    uid: str
    spark_version: str
    saved_at: datetime.datetime
    parameters: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Folder) -> Stage:
        """What was saved in a folder.

        Raises:
            ArtifactError: MLlib saved nothing there, or it is damaged.
            UnsupportedError: a Spark saved it whose format is unknown here.
        """
        data = folder.metadata(_Metadata)
        version = re.match(r"(\d+)\.", data.spark_version)
        if version is None:
            raise folder.damaged(f"sparkVersion = {data.spark_version!r}")
        if not _OLDEST <= int(version[1]) <= _NEWEST:
            what = f"{folder.path} was saved by Spark {data.spark_version}"
            raise UnsupportedError(what, f"IMPORT MODEL reads what Spark {_OLDEST} to {_NEWEST} saved")
        try:
            saved_at = datetime.datetime.fromtimestamp(data.timestamp // 1000, datetime.UTC)
        except (ValueError, OverflowError, OSError):
            raise folder.damaged(f"timestamp = {data.timestamp}") from None
        parameters = {**data.default_param_map, **data.param_map}
        return cls(folder, data.kind, data.uid, data.spark_version, saved_at, parameters)

    @property
    def name(self) -> str:
        """The class without its package."""
        return self.kind.rpartition(".")[2]

    def parameter(self, name: str, kind: type[T], default: T | None = None) -> T:
        """A parameter of this type.

        Raises:
            ArtifactError: it is missing, where it has no default, or of another type.
        """
        value = self.parameters.get(name, default)
        try:
            return converted(value, kind)
        except msgspec.ValidationError as error:
            raise self.folder.damaged(f"{self.name}: {name} = {value!r:.60} ({error})") from None


def stages_of(stage: Stage) -> Iterator[Stage]:
    """The stages of a pipeline in order, also of one within it; a model alone is its only stage.

    Raises:
        ArtifactError: a stage is missing or damaged.
    """
    if stage.kind != PIPELINE:
        yield stage
        return
    uids = stage.parameter("stageUids", list[str])
    for number, uid in enumerate(uids):
        if PurePath(uid).name != uid:
            raise stage.folder.damaged(f"stage {number} is called {uid!r}")
        inner = stage.folder.inner("stages", f"{number:0{len(str(len(uids)))}d}_{uid}")
        if not inner.path.is_dir():
            raise stage.folder.damaged(f"its stage {inner.path.name} is missing")
        yield from stages_of(Stage.read(inner))


def step_of(stage: Stage) -> ChainStep:
    """A stage that prepares features, as a fitted step of TRANSFORM.

    Raises:
        ArtifactError: it is damaged.
    """
    function, inputs, read = PREPARING[stage.kind]
    alias = stage.parameter("outputCol", str)
    taken = stage.parameter(inputs, list[str]) if inputs == "inputCols" else [stage.parameter(inputs, str)]
    try:
        return ChainStep(function, tuple(taken), alias, read(stage))
    except ValueError as error:
        raise stage.folder.damaged(error) from None


def length_of(step: ChainStep) -> int | None:
    """How many elements a step has learnt about; None for one that learns nothing."""
    match step.fitted:
        case StandardScaler(mean=mean):
            return len(mean)
        case MinMaxScaler(least=least):
            return len(least)
        case _:
            return None


class _Moments(msgspec.Struct, frozen=True):
    """The row of a StandardScalerModel."""

    std: Vector
    mean: Vector


class _Bounds(msgspec.Struct, frozen=True, rename="camel"):
    """The row of a MinMaxScalerModel."""

    original_min: Vector
    original_max: Vector


def _standard(stage: Stage) -> Fitted:
    row = stage.folder.row(_Moments)
    with_std, with_mean = stage.parameter("withStd", bool, True), stage.parameter("withMean", bool, False)
    mean, deviation = _alike(row.mean, row.std)
    return StandardScaler(mean, deviation, with_std, with_mean)


def _min_max(stage: Stage) -> Fitted:
    row = stage.folder.row(_Bounds)
    low, high = stage.parameter("min", float, 0.0), stage.parameter("max", float, 1.0)
    least, greatest = _alike(row.original_min, row.original_max)
    return MinMaxScaler(least, greatest, low, high)


def _assembler(stage: Stage) -> Fitted:
    return VectorAssembler()


def _alike(first: Vector, second: Vector) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Two vectors of one size.

    Raises:
        ValueError: they are not.
    """
    one, other = (tuple(vector.dense().tolist()) for vector in (first, second))
    if len(one) != len(other):
        raise ValueError(f"vectors of {len(one)} and of {len(other)} numbers, where they should be alike")
    return one, other


PREPARING: Mapping[str, tuple[str, str, Callable[[Stage], Fitted]]] = {
    "org.apache.spark.ml.feature.VectorAssembler": (VectorAssembler.function, "inputCols", _assembler),
    "org.apache.spark.ml.feature.StandardScalerModel": (StandardScaler.function, "inputCol", _standard),
    "org.apache.spark.ml.feature.MinMaxScalerModel": (MinMaxScaler.function, "inputCol", _min_max),
}
"""By Java class: the transform, the parameter that names what it reads, and how it is read."""
