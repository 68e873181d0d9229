"""IMPORT MODEL of a folder: a clustering that Spark MLlib saved, alone or at the end of a pipeline, as an artifact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hanse import expressions as e
from hanse.artifact import Artifact
from hanse.errors import ArtifactError, BindError, UnsupportedError
from hanse.mllib.clusterings import CLUSTERINGS, by_place, features_of, options_of
from hanse.mllib.folder import Folder
from hanse.mllib.stages import PIPELINE, PREPARING, Stage, length_of, stages_of, step_of
from hanse.options import Given, Names, build, option
from hanse.transforms.base import Column, Element
from hanse.transforms.chain import Chain, ChainStep
from hanse.transforms.vector_assembler import VectorAssembler

__all__ = ["ImportOptions", "read_model"]


@dataclass(frozen=True)
class ImportOptions:
    """The options of IMPORT MODEL."""

    features: tuple[str, ...] | None = option(
        None, Names(), "names of the features, in order, of a model that Spark saved without its VectorAssembler"
    )


def read_model(
    path: str, options: Sequence[Given], *, created_by: str, hanse_version: str
) -> tuple[Artifact, tuple[str, ...]]:
    """The model that MLlib saved in a folder.

    Args:
        path: what was given to ``save``.
        options: of the statement.
        created_by: who imports it.
        hanse_version: which imports it.

    Returns:
        the artifact, and warnings.

    Raises:
        ArtifactError: MLlib saved nothing there, or it is damaged.
        UnsupportedError: a class, stage or format that cannot be carried over.
        BindError: an option does not fit.
        WorkspaceError: a file cannot be read.
    """
    named: ImportOptions = build(ImportOptions, options, "IMPORT MODEL")
    whole = Stage.read(Folder(Path(path)))
    preparing, last = _parts(whole)
    model = CLUSTERINGS[last.kind](last)
    steps, raw = _feeding(features_of(last), [step_of(stage) for stage in preparing])
    vector = _raw_vector(path, features_of(last), steps, raw)
    notes = list(_remarks(preparing))
    if named.features is not None and (vector is None or len(named.features) != len(model.features)):
        why = f"the model has {len(model.features)} features: name each"
        cure = why if vector is not None else f"leave it out: the columns have names, {', '.join(raw)}"
        raise BindError(f"FEATURES = {list(named.features)} of {path}", cure, options[0].value_position)
    if vector is not None:
        names = named.features or by_place(vector, len(model.features))
        steps = (ChainStep(VectorAssembler.function, names, vector, VectorAssembler()), *steps)
        if named.features is None:
            called = f"{path} does not name its features, so they are called {', '.join(names)}"
            notes.append(f"{called}: name them with OPTIONS (FEATURES = array(...))")
    chain = Chain(steps)
    model = replace(model, features=_features(path, chain, len(model.features)))
    artifact = Artifact(
        model_type=model.model_type,
        options=options_of(last),
        transforms=tuple(chain.to_json()),  # type: ignore[arg-type]  # objects
        features=model.features,
        model=model.to_json(),
        training={"imported_from": f"Spark MLlib {whole.spark_version}", "class": whole.name, "uid": whole.uid},
        source_sql="",
        row_count=sum(cluster.count for cluster in model.clusters),
        created_at=whole.saved_at.isoformat(timespec="seconds"),
        created_by=created_by,
        hanse_version=hanse_version,
        fields=chain.inputs,
    )
    return artifact, tuple(notes)


def _parts(whole: Stage) -> tuple[list[Stage], Stage]:
    """The stages that prepare features, and the one clustering.

    Raises:
        UnsupportedError: another stage, or none or several clusterings.
    """
    stages = list(stages_of(whole))
    for stage in stages:
        if stage.kind in PREPARING or stage.kind in CLUSTERINGS:
            continue
        what = f"{stage.folder.path} is a {stage.kind}"
        if f"{stage.kind}Model" in (*PREPARING, *CLUSTERINGS, PIPELINE):
            raise UnsupportedError(f"{what}, which is not trained yet", "save what its fit() returns")
        known = ", ".join(kind.rpartition(".")[2] for kind in (*CLUSTERINGS, *PREPARING))
        raise UnsupportedError(what, f"IMPORT MODEL reads {known}, and a PipelineModel of them")
    found = [stage for stage in stages if stage.kind in CLUSTERINGS]
    if len(found) != 1:
        cure = "need one BisectingKMeansModel or KMeansModel: save a PipelineModel with one"
        raise UnsupportedError(f"{whole.folder.path} holds {len(found)} clusterings", cure)
    return [stage for stage in stages if stage is not found[0]], found[0]


def _feeding(column: str, steps: Sequence[ChainStep]) -> tuple[tuple[ChainStep, ...], tuple[str, ...]]:
    """The steps that a column is made by, in order, and the columns that no step makes."""
    wanted = {column.lower(): column}
    kept: list[ChainStep] = []
    for step in reversed(steps):
        if wanted.pop(step.alias.lower(), None) is not None:
            kept.insert(0, step)
            wanted = {name.lower(): name for name in step.inputs} | wanted
    return tuple(kept), tuple(wanted.values())


def _raw_vector(path: str, column: str, steps: Sequence[ChainStep], raw: Sequence[str]) -> str | None:
    """The column that must be a vector and is made by no step; None where all vectors are assembled.

    Raises:
        UnsupportedError: other columns stand beside it.
    """
    scaled = [name for step in steps if step.function != VectorAssembler.function for name in step.inputs]
    taken = {name.lower() for name in (column, *scaled)}
    vector = next((name for name in raw if name.lower() in taken), None)
    if vector is not None and len(raw) > 1:
        others = ", ".join(name for name in raw if name != vector)
        what = f"{path} reads a vector, {vector}, and beside it {others}"
        raise UnsupportedError(what, "assemble all columns by VectorAssemblers that are in the pipeline")
    return vector


def _features(path: str, chain: Chain, size: int) -> tuple[str, ...]:
    """The features' names, by the columns that they begin as.

    Raises:
        ArtifactError: there are not as many as the model has, or a step has numbers for more or fewer.
        UnsupportedError: one stands twice.
    """
    known = {name.lower(): Column((Element(name, e.column(name)),)) for name in chain.inputs}
    for step in chain.steps:
        taken = [known[name.lower()] for name in step.inputs]
        found, wanted = sum(len(column.elements) for column in taken), length_of(step)
        if wanted is not None and found != wanted:
            raise _unequal(path, f"{step.function}({', '.join(step.inputs)}) scales {wanted}", found)
        known[step.alias.lower()] = step.fitted.apply(taken)
    names = tuple(element.name for element in known[chain.steps[-1].alias.lower()].elements)
    if len(names) != size:
        raise _unequal(path, f"the model has {size} features", len(names))
    lower = [name.lower() for name in names]
    twice = next((name for name, key in zip(names, lower, strict=True) if lower.count(key) > 1), None)
    if twice is not None:
        raise UnsupportedError(
            f"{path} reads column {twice} twice", "a feature may stand once: train without the second"
        )
    return names


def _unequal(path: str, what: str, found: int) -> ArtifactError:
    cure = "a column that is a vector already cannot be taken apart: assemble its parts in the pipeline that you save"
    return ArtifactError(f"{path}: {what}, and {found} column{'s go' if found != 1 else ' goes'} in: {cure}")


def _remarks(preparing: Sequence[Stage]) -> Iterator[str]:
    """What MLlib does with rows that have no numbers, where it is not what Hanse does."""
    for stage in preparing:
        handling = stage.parameters.get("handleInvalid", "error")
        if handling != "error":
            yield f"{stage.uid} has handleInvalid = {handling!r}: here a feature that is NULL or NaN is an error"
