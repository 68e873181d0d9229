"""The registry of models: names, versions and artifacts, in SQLite or at any SQLAlchemy URL.

Importing this file imports SQLAlchemy, so import it where a registry is opened, not on top of ``hanse``.
"""

from __future__ import annotations

import datetime
import hashlib
import unicodedata
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from hanse.artifact import Artifact, ModelInfo
from hanse.decoding import decoded
from hanse.errors import (
    ArtifactError,
    ModelExistsError,
    ModelNotFoundError,
    RegistryError,
    WorkspaceError,
    nearest,
)
from hanse.registry_database import ConflictError, Database, is_writing, model, model_version

__all__ = ["Artifact", "ModelInfo", "Registry"]

_NAME_LIMIT: Final = 255
_JOINED: Final = sa.join(model, model_version, model.c.model_id == model_version.c.model_id)
_INFO: Final[sa.Select[Any]] = sa.select(
    model.c.model_id,
    model.c.name,
    model_version.c.version,
    model_version.c.created,
    model_version.c.updated,
    model_version.c.header,
).select_from(_JOINED)


class _Header(msgspec.Struct, frozen=True):
    """What SHOW MODELS tells of an artifact, kept beside it so that listing does not read the numbers."""

    model_type: str
    options: dict[str, Any]
    transforms: tuple[dict[str, Any], ...]
    source_sql: str
    fields: tuple[str, ...]
    features: tuple[str, ...]
    row_count: int
    created_by: str


class Registry:
    """Models by name and version.

    Names match without regard to case (and to how an accent is composed), and are shown as first created.
    Every change is one transaction: a process that dies at any point leaves the complete old or the complete
    new state. A version number is never given twice while its model exists: after dropping version 2 of 2, an
    update gives version 3. Dropping the last version that is left drops the model; its name is then free, and
    a new model of that name gets a new id.

    >>> registry = Registry.open(None)
    >>> registry.exists("m")
    False
    """

    def __init__(self, database: Database, clock: Callable[[], datetime.datetime]) -> None:
        self._database = database
        self._clock = clock
        self._seen_absent: set[str] = set()

    @classmethod
    def open(
        cls,
        target: str | Path | None,
        *,
        timeout_s: float = 10.0,
        clock: Callable[[], datetime.datetime] | None = None,
    ) -> Registry:
        """Open a registry, making it where there is none.

        Args:
            target: the path of an SQLite file, any SQLAlchemy URL, or None for one in memory.
            timeout_s: how long to wait for another process that is writing.
            clock: tells the time of ``created`` and ``updated``; the system's by default.

        Raises:
            WorkspaceError: corrupt, locked, read-only, a folder, of a newer Hanse, or out of reach.
        """
        return cls(Database(target, timeout_s), clock or (lambda: datetime.datetime.now(datetime.UTC)))

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def database(self) -> Database:
        """Where the models are; a coordinator keeps its own record beside them."""
        return self._database

    def close(self) -> None:
        """Close all connections; a registry in memory is gone."""
        self._database.close()

    def exists(self, name: str) -> bool:
        """Whether there is a model of that name, in any version."""
        key = _key(name)
        with self._database.reading() as connection:
            found = _find(connection, key) is not None
        if not found:
            self._seen_absent.add(key)
        return found

    def reserve(self, name: str) -> None:
        """Make sure that ``create`` may succeed, before a long training rather than after it.

        Nothing is written, so a process that dies in training leaves nothing behind; if another process
        creates the name in the meantime, ``create`` says so.

        Raises:
            ModelExistsError: the name is taken.
        """
        if self.exists(name):
            raise _exists_error(name)

    def create(self, name: str, artifact: Artifact) -> ModelInfo:
        """Store version 1 of a new model.

        Raises:
            ModelExistsError: the name is taken, perhaps since ``reserve`` or ``exists`` found it free.
        """
        self.exists(name)  # remembers an absent name, so that losing a race can be told from coming late
        meanwhile = _key(name) in self._seen_absent
        data = artifact.to_json()
        try:
            with self._database.writing() as connection:
                if _find(connection, _key(name)) is not None:
                    raise _exists_error(name, meanwhile=meanwhile)
                info = self._insert_model(connection, name, artifact, data)
        except ConflictError:
            raise _exists_error(name, meanwhile=True) from None
        finally:
            self._seen_absent.discard(_key(name))
        return info

    def replace(self, name: str, artifact: Artifact) -> ModelInfo:
        """CREATE OR REPLACE: overwrite the latest version, or store version 1 of a new model."""
        data = artifact.to_json()
        try:
            return self._replace(name, artifact, data)
        except ConflictError:
            return self._replace(name, artifact, data)  # created by another process in between: now it is there

    def update(self, name: str, artifact: Artifact) -> ModelInfo:
        """UPDATE MODEL: store the next version of a model that exists.

        Raises:
            ModelNotFoundError: there is no such model; names the nearest ones.
        """
        data = artifact.to_json()
        with self._database.writing() as connection:
            row = _require(connection, name)
            version = row.last_version + 1
            connection.execute(model.update().where(model.c.model_id == row.model_id).values(last_version=version))
            return self._insert_version(connection, row, version, artifact, data)

    def load(self, name: str, version: int | None = None) -> tuple[ModelInfo, Artifact]:
        """A model to predict with.

        Args:
            name: its name.
            version: None for the latest.

        Raises:
            ModelNotFoundError: no such model or version; names the nearest models, or the versions there are.
            ArtifactError: it was stored by a newer Hanse, or the disk has altered it.
        """
        with self._database.reading() as connection:
            row = _require(connection, name)
            number = _require_version(connection, row, version)
            found = connection.execute(
                _INFO.add_columns(model_version.c.artifact, model_version.c.artifact_sha256).where(
                    model_version.c.model_id == row.model_id, model_version.c.version == number
                )
            ).one()
        where = f"model {row.name} version {number} in registry {self._database.where}"
        if hashlib.sha256(found.artifact).digest() != found.artifact_sha256:
            raise ArtifactError(f"{where} is damaged (its checksum does not agree): restore a backup or train it again")
        return self._info(found), Artifact.from_json(found.artifact, where=where)

    def info(self, name: str, version: int | None = None) -> ModelInfo:
        """As ``load``, without the artifact."""
        with self._database.reading() as connection:
            row = _require(connection, name)
            number = _require_version(connection, row, version)
            return self._info(_one_info(connection, row.model_id, number))

    def drop(self, name: str, version: int | None = None) -> int:
        """Remove one version, or the model with all of them.

        Returns:
            How many versions were removed.

        Raises:
            ModelNotFoundError: no such model or version.
        """
        with self._database.writing() as connection:
            row = _require(connection, name)
            versions = _versions(connection, row.model_id)
            if version is not None:
                _require_version(connection, row, version)
            if version is None or versions == [version]:
                connection.execute(model.delete().where(model.c.model_id == row.model_id))
                return len(versions)
            connection.execute(
                model_version.delete().where(
                    model_version.c.model_id == row.model_id, model_version.c.version == version
                )
            )
            return 1

    def list(self) -> list[ModelInfo]:
        """All versions of all models, by name and version."""
        with self._database.reading() as connection:
            rows = connection.execute(_INFO).all()
        return sorted((self._info(row) for row in rows), key=lambda info: (_key(info.name), info.version))

    def _replace(self, name: str, artifact: Artifact, data: bytes) -> ModelInfo:
        with self._database.writing() as connection:
            row = _find(connection, _key(name))
            if row is None:
                return self._insert_model(connection, name, artifact, data)
            version = _versions(connection, row.model_id)[-1]
            connection.execute(
                model_version.update()
                .where(model_version.c.model_id == row.model_id, model_version.c.version == version)
                .values(updated=self._now(), **_stored(artifact, data))
            )
            return self._info(_one_info(connection, row.model_id, version))

    def _insert_model(self, connection: sa.Connection, name: str, artifact: Artifact, data: bytes) -> ModelInfo:
        self._seen_absent.discard(_key(name))
        connection.execute(
            model.insert().values(model_id=uuid.uuid4().hex, name_key=_key(name), name=name, last_version=1)
        )
        return self._insert_version(connection, _require(connection, name), 1, artifact, data)

    def _insert_version(
        self, connection: sa.Connection, row: sa.Row[Any], version: int, artifact: Artifact, data: bytes
    ) -> ModelInfo:
        now = self._now()
        connection.execute(
            model_version.insert().values(
                model_id=row.model_id, version=version, created=now, updated=now, **_stored(artifact, data)
            )
        )
        return self._info(_one_info(connection, row.model_id, version))

    def _now(self) -> str:
        return self._clock().astimezone(datetime.UTC).isoformat(timespec="milliseconds")

    def _info(self, row: sa.Row[Any]) -> ModelInfo:
        try:
            header = decoded(row.header, _Header)
        except (ValueError, RecursionError) as error:
            raise ArtifactError(
                f"model {row.name} version {row.version} in registry {self._database.where} is damaged "
                f"({error}): restore a backup, or drop this version and train it again"
            ) from None
        return ModelInfo(
            model_id=row.model_id,
            name=row.name,
            version=row.version,
            source=header.source_sql,
            model_type=header.model_type,
            options=header.options,
            transforms=header.transforms,
            fields=header.fields,
            features=header.features,
            row_count=header.row_count,
            created=row.created,
            updated=row.updated,
            created_by=header.created_by,
        )


def _key(name: str) -> str:
    """The name as it is compared: Spark lower-cases; the two ways to write an accent are one name here."""
    if not name.strip():
        raise RegistryError(f"a model's name = {name!r}: need at least one letter")
    if len(name) > _NAME_LIMIT:
        raise RegistryError(f"a model's name of {len(name)} characters: need at most {_NAME_LIMIT}")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise RegistryError(f"a model's name = {name!r}: control characters cannot stand in a name")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).lower())


def _stored(artifact: Artifact, data: bytes) -> dict[str, bytes]:
    header = _Header(**{field: getattr(artifact, field) for field in _Header.__struct_fields__})
    return {
        "header": msgspec.json.encode(header),
        "artifact": data,
        "artifact_sha256": hashlib.sha256(data).digest(),
    }


def _find(connection: sa.Connection, key: str) -> sa.Row[Any] | None:
    query = sa.select(model).where(model.c.name_key == key)
    if is_writing(connection):
        query = query.with_for_update()  # a server locks the row; SQLite has locked the whole file already
    return connection.execute(query).one_or_none()


def _require(connection: sa.Connection, name: str) -> sa.Row[Any]:
    row = _find(connection, _key(name))
    if row is None:
        known = connection.scalars(sa.select(model.c.name)).all()
        cure = nearest(name, known) if known else "there are no models yet; CREATE MODEL makes one"
        raise ModelNotFoundError(f"no model {name}: {cure}")
    return row


def _versions(connection: sa.Connection, model_id: str) -> list[int]:
    query = sa.select(model_version.c.version).where(model_version.c.model_id == model_id)
    versions = sorted(connection.scalars(query))
    if not versions:
        raise WorkspaceError("the registry is damaged, it has a model without versions: restore it from a backup")
    return versions


def _require_version(connection: sa.Connection, row: sa.Row[Any], version: int | None) -> int:
    versions = _versions(connection, row.model_id)
    if version is None:
        return versions[-1]
    if version not in versions:
        shown = ", ".join(map(str, versions[-12:]))
        raise ModelNotFoundError(f"no version {version} of model {row.name}: it has {shown}")
    return version


def _one_info(connection: sa.Connection, model_id: str, version: int) -> sa.Row[Any]:
    return connection.execute(
        _INFO.where(model_version.c.model_id == model_id, model_version.c.version == version)
    ).one()


def _exists_error(name: str, *, meanwhile: bool = False) -> ModelExistsError:
    what = f"model {name} was created meanwhile by another process" if meanwhile else f"model {name} exists already"
    return ModelExistsError(
        f"{what}: use CREATE OR REPLACE MODEL to replace its latest version, or UPDATE MODEL to add a version"
    )
