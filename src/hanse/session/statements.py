"""What each statement does; one function each, in one visible table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanse import __version__
from hanse import expressions as e
from hanse.artifact import Artifact
from hanse.errors import BindError, HanseError, Position, WorkspaceError, nearest
from hanse.options import Given
from hanse.session.federated_statements import FEDERATED
from hanse.session.learning import LoadedModel, user
from hanse.session.outcome import Call, Outcome, model_made
from hanse.session.result import rows_of
from hanse.sql import nodes
from hanse.sql.binder import Prepared, bound_value, version_number
from hanse.sql.steps import step_specs
from hanse.types import Parameters, Progress

if TYPE_CHECKING:
    from hanse.session.session import Session

__all__ = ["Outcome", "execute"]


def execute(
    session: Session,
    statement: nodes.Statement,
    parameters: Parameters,
    into: str | None,
    progress: Progress | None,
) -> Outcome:
    """Run one statement.

    Raises:
        HanseError: any; nothing half-made remains.
    """
    call = Call(session, parameters, into, progress)
    return _DO[type(statement)](call, statement)


# -- queries and tables -----------------------------------------------------------------------


def _select(call: Call, statement: nodes.Query) -> Outcome:
    prepared = call.planner().prepare(statement.tree, unique=call.into is not None)
    if call.into is not None:
        return _store(call, (call.into,), prepared, "create_table", replace=True)
    engine = call.session.engine
    try:
        return Outcome("select", engine.query(prepared.sql), prepared.warnings, prepared.explained)
    except HanseError as error:
        raise prepared.explained(error) from error


def _store(
    call: Call, parts: Sequence[str], prepared: Prepared, kind: str, *, replace: bool, temporary: bool = False
) -> Outcome:
    """CREATE TABLE AS a prepared query; all or nothing."""
    try:
        rows = call.session.engine.create_table(parts, prepared.sql, replace=replace, temporary=temporary)
    except HanseError as error:
        raise prepared.explained(error) from error
    shown = rows_of(["table", "rows"], [[".".join(parts), rows]])
    return Outcome(kind, shown, prepared.warnings)


def _create_table(call: Call, statement: nodes.CreateTable) -> Outcome:
    engine = call.session.engine
    parts = statement.name.parts
    existing = engine.relation_columns(parts)
    if existing is not None and statement.if_not_exists:
        warning = f"table {statement.name} exists already: left as it is"
        return Outcome(statement.kind, rows_of(["table", "rows"], [[str(statement.name), 0]]), (warning,))
    if existing is not None and not statement.or_replace:
        cure = "DROP TABLE it first, or write CREATE OR REPLACE TABLE or CREATE TABLE IF NOT EXISTS"
        raise BindError(f"table {statement.name} exists already", cure, statement.name.position)
    how = {"replace": statement.or_replace, "temporary": statement.temporary}
    if statement.query is None:
        columns = [
            f"{e.quote(c.name.text)} {c.type.sql(dialect=engine.dialect)}{'' if c.nullable else ' NOT NULL'}"
            for c in statement.columns
        ]
        engine.create_empty(parts, columns, **how)
        return Outcome(statement.kind, rows_of(["table", "rows"], [[str(statement.name), 0]]))
    prepared = call.planner().prepare(statement.query)
    if statement.transform:
        steps = step_specs(statement.transform, call.parameters)
        sql, made = call.session.learner.transformed(prepared.sql, prepared.columns, steps)
        prepared = Prepared(prepared.tree, sql, made, prepared.warnings, prepared.explain)
    return _store(call, parts, prepared, statement.kind, **how)


def _create_view(call: Call, statement: nodes.CreateView) -> Outcome:
    engine = call.session.engine
    existing = engine.relation_columns(statement.name.parts)
    if existing is not None and statement.if_not_exists:
        warning = f"view {statement.name} exists already: left as it is"
        return Outcome(statement.kind, rows_of(["view"], [[str(statement.name)]]), (warning,))
    if existing is not None and not statement.or_replace:
        cure = "DROP VIEW it first, or write CREATE OR REPLACE VIEW"
        raise BindError(f"view {statement.name} exists already", cure, statement.name.position)
    prepared = call.planner().prepare(statement.query)
    if statement.columns and len(statement.columns) != len(prepared.columns):
        what = f"view {statement.name} names {len(statement.columns)} columns, its query gives {len(prepared.columns)}"
        raise BindError(what, "name as many", statement.columns[0].position)
    columns = [c.text for c in statement.columns]
    how = {"replace": statement.or_replace, "temporary": statement.temporary}
    engine.create_view(statement.name.parts, columns, prepared.sql, **how)
    return Outcome(statement.kind, rows_of(["view"], [[str(statement.name)]]), prepared.warnings)


def _insert(call: Call, statement: nodes.Insert) -> Outcome:
    engine = call.session.engine
    existing = engine.relation_columns(statement.name.parts)
    if existing is None:
        cure = nearest(str(statement.name), engine.relations())
        raise BindError(f"unknown table {statement.name}", cure, statement.name.position)
    known = {c.lower(): c for c in existing}
    for column in statement.columns:
        if column.text.lower() not in known:
            raise BindError(
                f"unknown column {column} of {statement.name}",
                nearest(column.text, existing),
                column.position,
            )
    prepared = call.planner().prepare(statement.query)
    wanted = len(statement.columns) or len(existing)
    if len(prepared.columns) != wanted:
        what = f"INSERT gives {len(prepared.columns)} columns, {statement.name} takes {wanted}"
        raise BindError(what, "give as many", statement.name.position)
    columns = [known[c.text.lower()] for c in statement.columns]
    try:
        rows = engine.insert(statement.name.parts, columns, prepared.sql)
    except HanseError as error:
        raise prepared.explained(error) from error
    return Outcome(statement.kind, rows_of(["table", "rows"], [[str(statement.name), rows]]), prepared.warnings)


def _drop(call: Call, statement: nodes.DropTable | nodes.DropView) -> Outcome:
    engine = call.session.engine
    noun = "view" if isinstance(statement, nodes.DropView) else "table"
    if engine.relation_columns(statement.name.parts) is None:
        if statement.if_exists:
            return Outcome(statement.kind, rows_of(["dropped"], []))
        cure = nearest(str(statement.name), engine.relations())
        raise BindError(f"unknown {noun} {statement.name}", cure, statement.name.position)
    found = "view" if engine.is_view(statement.name.parts) else "table"
    if found != noun:
        raise BindError(f"{statement.name} is a {found}", f"write DROP {found.upper()}", statement.name.position)
    engine.drop(statement.name.parts, view=noun == "view")
    return Outcome(statement.kind, rows_of(["dropped"], [[str(statement.name)]]))


def _show_tables(call: Call, statement: nodes.ShowTables) -> Outcome:
    return Outcome(statement.kind, rows_of(["table"], [[name] for name in call.session.engine.relations()]))


def _describe_table(call: Call, statement: nodes.DescribeTable) -> Outcome:
    columns = call.session.engine.relation_columns(statement.name.parts)
    if columns is None:
        cure = nearest(str(statement.name), call.session.engine.relations())
        raise BindError(f"unknown table {statement.name}", cure, statement.name.position)
    return Outcome(statement.kind, rows_of(["column", "type"], list(columns.items())))


def _set(call: Call, statement: nodes.SetOption) -> Outcome:
    value = bound_value(statement.value, call.parameters)
    call.session.set_option(statement.key, value, statement)
    return Outcome(statement.kind, rows_of(["key", "value"], [[statement.key, str(value).lower()]]))


def _explain(call: Call, statement: nodes.Explain) -> Outcome:
    prepared = call.planner().prepare(statement.statement.tree)
    lines = [["sql", prepared.sql], *(list(part) for part in call.session.engine.explain(prepared.sql))]
    return Outcome(statement.kind, rows_of(["part", "text"], lines), prepared.warnings)


# -- models -----------------------------------------------------------------------------------


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
    if statement.if_exists and not registry.exists(name):
        return Outcome(statement.kind, rows_of(["model", "versions"], []))
    dropped = registry.drop(name, version_number(statement.version, call.parameters))
    return Outcome(statement.kind, rows_of(["model", "versions"], [[name, dropped]]))


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
    from hanse.session.functions import shown

    rows = [[shown(getattr(info, field)) for _, field in _SHOWN] for info in call.session.registry.list()]
    return Outcome(statement.kind, rows_of([name for name, _ in _SHOWN], rows))


def _describe_model(call: Call, statement: nodes.DescribeModel) -> Outcome:
    from hanse.session.functions import describe_rows

    loaded = load_model(call.session, str(statement.name), version_number(statement.version, call.parameters))
    return Outcome(statement.kind, rows_of(["property", "value"], describe_rows(loaded)))


def _export_model(call: Call, statement: nodes.ExportModel) -> Outcome:
    from hanse.workspace import write_file

    path = _path(statement.path, call.parameters, statement.position)
    version = version_number(statement.version, call.parameters)
    info, artifact = call.session.registry.load(str(statement.name), version)
    data = artifact.to_json()
    write_file(path, data)
    return Outcome(
        statement.kind,
        rows_of(["model", "version", "file", "bytes"], [[info.name, info.version, path, len(data)]]),
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


_DO: Mapping[type[nodes.Statement], Callable[[Call, Any], Outcome]] = {
    nodes.Query: _select,
    nodes.CreateTable: _create_table,
    nodes.CreateView: _create_view,
    nodes.Insert: _insert,
    nodes.DropTable: _drop,
    nodes.DropView: _drop,
    nodes.ShowTables: _show_tables,
    nodes.DescribeTable: _describe_table,
    nodes.SetOption: _set,
    nodes.Explain: _explain,
    nodes.CreateModel: _create_model,
    nodes.UpdateModel: _update_model,
    nodes.DropModel: _drop_model,
    nodes.ShowModels: _show_models,
    nodes.DescribeModel: _describe_model,
    nodes.ExportModel: _export_model,
    nodes.ImportModel: _import_model,
    **FEDERATED,
}
