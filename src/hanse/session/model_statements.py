"""What the statements about models do, one function each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanse import __version__
from hanse.artifact import Artifact
from hanse.errors import BindError, HanseError, ModelNotFoundError, Position, WorkspaceError
from hanse.options import Given
from hanse.session.functions import describe_rows, shown
from hanse.session.learning import LoadedModel, user
from hanse.session.outcome import Call, Outcome, model_made
from hanse.session.result import Facts
from hanse.sql import nodes
from hanse.sql.binder import bound_value, version_number
from hanse.sql.steps import step_specs
from hanse.types import Parameters

if TYPE_CHECKING:
    from hanse.session.session import Session

__all__ = ["MODELS"]


def _create_model(call: Call, statement: nodes.CreateModel) -> Outcome:
    registry = call.session.registry
    name = str(statement.name)
    if statement.mode == "if_not_exists" and registry.exists(name):
        info = registry.info(name)
        warning = f"model {name} exists already: left as it is"
        return model_made(statement.kind, [info.model_id, info.name, info.version], (warning,))
    if statement.mode != "or_replace":
        registry.reserve(name)
    artifact, warnings = _train(call, statement)
    info = registry.replace(name, artifact) if statement.mode == "or_replace" else registry.create(name, artifact)
    return model_made(statement.kind, [info.model_id, info.name, info.version], warnings)


def _update_model(call: Call, statement: nodes.UpdateModel) -> Outcome:
    registry = call.session.registry
    name = str(statement.name)
    registry.info(name)
    artifact, warnings = _train(call, statement)
    info = registry.update(name, artifact)
    return model_made(statement.kind, [info.model_id, info.name, info.version], warnings)


def _train(call: Call, statement: nodes.CreateModel | nodes.UpdateModel) -> tuple[Artifact, tuple[str, ...]]:
    prepared = call.planner().prepare(statement.query)
    options = [_given(o, call.parameters) for o in statement.options]
    try:
        trained = call.session.learner.train(
            prepared.sql,
            prepared.columns,
            step_specs(statement.transform, call.parameters),
            options,
            statement.query_text,
            statement.position,
            call.progress,
        )
    except HanseError as error:
        raise prepared.explained(error) from error
    return trained.artifact, (*prepared.warnings, *trained.warnings)


def _drop_model(call: Call, statement: nodes.DropModel) -> Outcome:
    registry = call.session.registry
    name = str(statement.name)
    try:
        dropped = registry.drop(name, version_number(statement.version, call.parameters))
    except ModelNotFoundError:
        if not statement.if_exists:
            raise
        return Outcome(statement.kind, Facts(["model", "versions"], []))
    return Outcome(statement.kind, Facts(["model", "versions"], [[name, dropped]]))


_SHOWN = (
    ("model_id", "model_id"),
    ("name", "name"),
    ("version", "version"),
    ("source", "source"),
    ("type", "model_type"),
    ("options", "options"),
    ("transform", "transforms"),
    ("fields", "fields"),
    ("created", "created"),
    ("updated", "updated"),
    ("created_by", "created_by"),
)


def _show_models(call: Call, statement: nodes.ShowModels) -> Outcome:
    rows = [[shown(getattr(info, field)) for _, field in _SHOWN] for info in call.session.registry.list()]
    return Outcome(statement.kind, Facts([name for name, _ in _SHOWN], rows))


def _describe_model(call: Call, statement: nodes.DescribeModel) -> Outcome:
    loaded = load_model(call.session, str(statement.name), version_number(statement.version, call.parameters))
    return Outcome(statement.kind, Facts(["property", "value"], describe_rows(loaded)))


def _export_model(call: Call, statement: nodes.ExportModel) -> Outcome:
    from hanse.workspace import write_file

    path = _path(statement.path, call.parameters, statement.position)
    version = version_number(statement.version, call.parameters)
    info, artifact = call.session.registry.load(str(statement.name), version)
    data = artifact.to_json()
    write_file(path, data)
    return Outcome(
        statement.kind,
        Facts(["model", "version", "file", "bytes"], [[info.name, info.version, path, len(data)]]),
    )


def _import_model(call: Call, statement: nodes.ImportModel) -> Outcome:
    from hanse.artifact import LIMIT_BYTES
    from hanse.workspace import read_file

    path = _path(statement.path, call.parameters, statement.position)
    options = [_given(o, call.parameters, lists=True) for o in statement.options]
    warnings: tuple[str, ...] = ()
    if "://" in path:
        raise WorkspaceError(f"{path} is an address, and no path on this machine: copy what is there to a local folder")
    if Path(path).is_dir():
        from hanse.mllib.importing import read_model

        artifact, warnings = read_model(path, options, created_by=user(), hanse_version=__version__)
    elif options:
        cure = f"leave OPTIONS out: they are for a folder that Spark MLlib saved, and {path} is none"
        raise BindError(f"option {options[0].key}", cure, options[0].position)
    else:
        artifact = Artifact.from_json(read_file(path, limit_bytes=LIMIT_BYTES), where=path)
    registry = call.session.registry
    info = registry.create(str(statement.name), artifact)
    try:
        LoadedModel.of(info, artifact)
    except HanseError:
        registry.drop(str(statement.name), None)
        raise
    return model_made(statement.kind, [info.model_id, info.name, info.version], warnings)


def load_model(session: Session, name: str, version: int | None) -> LoadedModel:
    """A model of the registry.

    Raises:
        ModelNotFoundError: no such model or version.
    """
    return LoadedModel.of(*session.registry.load(name, version))


def _path(path: nodes.OptionValue, parameters: Parameters, position: Position) -> str:
    value = bound_value(path, parameters)
    if not isinstance(value, str):
        raise BindError(f"file {value!r}", "need a path in quotes", position)
    return value


def _given(option: nodes.Option, parameters: Parameters, *, lists: bool = False) -> Given:
    value: Any = option.value
    if lists and isinstance(value, tuple):
        value = [bound_value(item, parameters) for item in value]
    else:
        value = bound_value(value, parameters)
    return Given(option.key, value, option.position, option.value_position)


MODELS: Mapping[type[nodes.Statement], Callable[[Call, Any], Outcome]] = {
    nodes.CreateModel: _create_model,
    nodes.UpdateModel: _update_model,
    nodes.DropModel: _drop_model,
    nodes.ShowModels: _show_models,
    nodes.DescribeModel: _describe_model,
    nodes.ExportModel: _export_model,
    nodes.ImportModel: _import_model,
}
