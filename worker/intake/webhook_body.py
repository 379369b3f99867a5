"""What a database webhook of `storage.objects` says.

Source: https://supabase.com/docs/guides/database/webhooks, the payload of INSERT and UPDATE.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

MAX_VERSION = 200  # characters; Storage's are 36


class MalformedError(Exception):
    """The body is no webhook of an object; its message is a sentence."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A version of an object that was uploaded."""

    object_id: UUID
    version: str  # '' where Storage keeps none
    bucket: str
    path: str


def read_body(body: bytes) -> Upload | None:
    """Return what was uploaded; None: the change was no upload.

    Raises:
        MalformedError: as its name says.
    """
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedError("The body is no JSON.") from None
    if not isinstance(said, dict):
        raise MalformedError("The body is no JSON object.")
    if (said.get("schema"), said.get("table")) != ("storage", "objects"):
        raise MalformedError("This address takes webhooks of the table storage.objects only.")
    kind = said.get("type")
    if kind == "DELETE":
        return None
    if kind not in ("INSERT", "UPDATE"):
        raise MalformedError("The type is none of INSERT, UPDATE and DELETE.")
    upload = _upload(said.get("record"))
    old = said.get("old_record")
    if kind == "UPDATE" and isinstance(old, dict) and _version(old) == upload.version:
        return None  # something else about the object has changed
    return upload


def _upload(record: Any) -> Upload:
    if not isinstance(record, dict):
        raise MalformedError("The record is no JSON object.")
    try:
        object_id = UUID(_text(record, "id"))
    except ValueError:
        raise MalformedError("The record's id is no UUID.") from None
    return Upload(object_id, _version(record), _text(record, "bucket_id"), _text(record, "name"))


def _version(record: Mapping[str, Any]) -> str:
    version = record.get("version")
    if version is None:
        return ""
    if not isinstance(version, str) or len(version) > MAX_VERSION:
        raise MalformedError("The record's version is no text of a version.")
    return version


def _text(record: Mapping[str, Any], name: str) -> str:
    text = record.get(name)
    if not isinstance(text, str) or not text:
        raise MalformedError(f"The record's {name} is missing or no text.")
    return text
