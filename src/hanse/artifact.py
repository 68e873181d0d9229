"""A trained model as plain JSON: what the registry stores, and what EXPORT MODEL writes to a file."""

from __future__ import annotations

import datetime
import math
from typing import Any, Final

import msgspec

from hanse.decoding import decoded
from hanse.errors import ArtifactError

__all__ = ["LIMIT_BYTES", "SCHEMA_VERSION", "Artifact", "ModelInfo"]

SCHEMA_VERSION: Final = 3
"""The shape of an artifact; grows when a field is added, renamed or changes its meaning."""

LIMIT_BYTES: Final = 64 * 1024 * 1024
"""A larger artifact is refused, in both directions: a model is a short list of numbers."""

_DEPTH_LIMIT: Final = 100
_EXPORT_AGAIN: Final = "write the file again with EXPORT MODEL"
_ENCODER: Final = msgspec.json.Encoder(order="sorted")


class Artifact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is needed to predict with a model, and to know where it came from.

    Args:
        schema_version: the shape of this artifact, see ``SCHEMA_VERSION``.
        model_type: a key of the table of model types, such as ``bisecting_kmeans``.
        options: the options that trained it, lower case.
        transforms: the fitted transforms, in the order in which they are applied.
        features: the columns that the model was trained on, in order.
        model: the model's own plain data.
        training: statistics of the training, such as rounds and inertia.
        source_sql: the SELECT that it was trained on, as written.
        row_count: how many rows it was trained on.
        created_at: when training ended, ISO-8601 in UTC.
        created_by: the user who trained it.
        hanse_version: the version of Hanse that trained it.
        fields: the columns of the SELECT, those that were ignored included.
        scoring: what anomaly scores need beside the model; empty in artifacts of ``schema_version`` 1.
    """

    schema_version: int = SCHEMA_VERSION
    model_type: str
    options: dict[str, Any]
    transforms: tuple[dict[str, Any], ...]
    features: tuple[str, ...]
    model: dict[str, Any]
    training: dict[str, Any]
    source_sql: str
    row_count: int
    created_at: str
    created_by: str
    hanse_version: str
    fields: tuple[str, ...]
    scoring: dict[str, Any] = {}  # msgspec copies it for each artifact

    def to_json(self) -> bytes:
        """The artifact as UTF-8 JSON with sorted keys: equal artifacts give equal bytes.

        Every float survives to the last bit.

        Raises:
            ArtifactError: a value that JSON cannot hold (NaN, infinity, a NumPy scalar ...), a field that
                means nothing (a time without a zone ...), or more than ``LIMIT_BYTES``.
        """
        _check_meaning(self, "this artifact")
        for name in self.__struct_fields__:
            _check_json(name, getattr(self, name))
        try:
            data = _ENCODER.encode(self)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ArtifactError(f"a model of type {self.model_type} cannot be written as JSON: {error}") from None
        _check_size(data, f"a model of type {self.model_type}")
        return data

    @classmethod
    def from_json(cls, data: bytes | str, *, where: str = "the artifact") -> Artifact:
        """Read what ``to_json`` wrote, strictly.

        Args:
            data: the JSON text.
            where: what to call it in an error, usually the file's path.

        Raises:
            ArtifactError: not JSON, too big, made by a newer Hanse, or with a field that is missing,
                unknown or of another type; the message names the field.
        """
        raw = _to_bytes(data, where)
        _check_size(raw, where)
        _check_version(raw, where)
        try:
            artifact = decoded(raw, cls)
        except msgspec.ValidationError as error:
            raise ArtifactError(f"{where}: {_plain(error)}; {_EXPORT_AGAIN}") from None
        except (ValueError, RecursionError) as error:
            raise _not_json(where, error) from None
        _check_meaning(artifact, where)
        return artifact


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One line of SHOW MODELS: a version of a model, without its numbers.

    Args:
        model_id: a UUID in hex; the same for all versions of a name.
        name: as first created.
        version: counts from 1; never given twice while the model exists.
        source: the SELECT that it was trained on.
        model_type: such as ``bisecting_kmeans``.
        options: the options that trained it, lower case.
        transforms: the fitted transforms.
        fields: the columns of the SELECT.
        features: the columns that it was trained on.
        row_count: how many rows it was trained on.
        created: when this version was first stored, ISO-8601 in UTC.
        updated: when this version was last written; later than ``created`` after CREATE OR REPLACE.
        created_by: the user who trained it.
    """

    model_id: str
    name: str
    version: int
    source: str
    model_type: str
    options: dict[str, Any]
    transforms: tuple[dict[str, Any], ...]
    fields: tuple[str, ...]
    features: tuple[str, ...]
    row_count: int
    created: str
    updated: str
    created_by: str


class _Header(msgspec.Struct):
    schema_version: Any = None


def _to_bytes(data: bytes | str, where: str) -> bytes:
    if isinstance(data, bytes):
        return data
    try:
        return data.encode()
    except UnicodeEncodeError as error:
        raise _not_json(where, error) from None


def _not_json(where: str, error: Exception) -> ArtifactError:
    return ArtifactError(f"{where} is not JSON: {_plain(error)}; {_EXPORT_AGAIN}")


def _plain(error: Exception) -> str:
    """What msgspec says, in the words of a file: ``$.row_count`` becomes ``row_count``."""
    return str(error).replace("`$.", "`").replace("- at `$`", "").strip()


def _check_size(data: bytes, what: str) -> None:
    if len(data) > LIMIT_BYTES:
        raise ArtifactError(
            f"{what} takes {len(data):,} bytes, more than the limit of {LIMIT_BYTES:,}: "
            "train it with fewer features or fewer categories"
        )


def _check_version(raw: bytes, where: str) -> None:
    """Judge the version before the fields, since a newer Hanse may well have other fields."""
    try:
        version = decoded(raw, _Header).schema_version
    except msgspec.ValidationError as error:
        raise ArtifactError(f"{where} is not a model: {_plain(error)}; {_EXPORT_AGAIN}") from None
    except (ValueError, RecursionError) as error:
        raise _not_json(where, error) from None
    if version is None:
        raise ArtifactError(f"{where} has no schema_version, so it is not a model of Hanse's; {_EXPORT_AGAIN}")
    if type(version) is not int or version < 1:
        raise ArtifactError(f"{where}: schema_version = {version!r}: need a whole number from 1; {_EXPORT_AGAIN}")
    if version > SCHEMA_VERSION:
        raise ArtifactError(
            f"{where} was made by a newer Hanse (schema_version {version}, this one reads up to "
            f"{SCHEMA_VERSION}): upgrade Hanse to read it"
        )


def _check_meaning(artifact: Artifact, where: str) -> None:
    problems = (
        ("model_type", artifact.model_type, bool(artifact.model_type.strip()), "need a model type"),
        ("row_count", artifact.row_count, artifact.row_count >= 0, "need 0 or more"),
        ("created_at", artifact.created_at, _is_utc(artifact.created_at), "need an ISO-8601 time in UTC"),
        ("features", artifact.features, _distinct(artifact.features), "need distinct names"),
    )
    for name, value, fine, cure in problems:
        if not fine:
            raise ArtifactError(f"{where}: {name} = {value!r}: {cure}")


def _distinct(names: tuple[str, ...]) -> bool:
    return len(set(names)) == len(names) and all(names)


def _is_utc(text: str) -> bool:
    try:
        return datetime.datetime.fromisoformat(text).utcoffset() == datetime.timedelta(0)
    except ValueError:
        return False


def _check_json(name: str, root: object) -> None:
    """Refuse what msgspec would write as something else (NaN as null, a date as text, bytes as base64)."""
    stack: list[tuple[str, object, int]] = [(name, root, 0)]
    while stack:
        path, value, depth = stack.pop()
        if depth > _DEPTH_LIMIT:
            raise ArtifactError(f"{path[:80]}... is nested deeper than {_DEPTH_LIMIT} levels: store flat lists")
        kind = type(value)
        if kind is float:
            if not math.isfinite(value):  # type: ignore[arg-type]  # kind says that it is a float
                raise ArtifactError(f"{path} = {value}: a model holds finite numbers only")
        elif isinstance(value, dict):
            for key, item in value.items():
                if type(key) is not str:
                    raise ArtifactError(f"{path} has the key {key!r}: keys must be strings")
                stack.append((f"{path}.{key}", item, depth + 1))
        elif isinstance(value, list | tuple):
            stack.extend((f"{path}[{i}]", item, depth + 1) for i, item in enumerate(value))
        elif value is not None and kind not in (bool, int, str):
            raise ArtifactError(f"{path} is of type {kind.__module__}.{kind.__qualname__}, which JSON does not have")
