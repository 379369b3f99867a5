"""The payload of a change, in the format of Realtime."""

from __future__ import annotations

import json
from typing import Any, Final

from worker.local.realtime.pgoutput import Change, Row
from worker.local.realtime.tables import Column, Tables

_MAX_RECORD_BYTES: Final = 1024 * 1024
_MAX_VALUE_BYTES: Final = 64  # of a value that a record above the limit keeps
_TOO_LARGE: Final = "Error 413: Payload Too Large"


async def event_data(tables: Tables, change: Change, columns: list[Column]) -> dict[str, Any]:
    """Return the `data` of a `postgres_changes` message."""
    records: dict[str, dict[str, Any]] = {}
    if change.new is not None:
        records["record"] = await tables.as_json(change.new, columns)
    if change.kind != "INSERT":
        records["old_record"] = await tables.as_json(_before(change, columns), columns)
    errors = None
    if len(json.dumps(records, ensure_ascii=False).encode()) > _MAX_RECORD_BYTES:
        records = {name: _small_values(record) for name, record in records.items()}
        errors = [_TOO_LARGE]
    committed_at = change.committed_at.isoformat(timespec="milliseconds")
    return {
        "schema": change.relation.schema,
        "table": change.relation.table,
        "type": change.kind,
        "commit_timestamp": committed_at.replace("+00:00", "Z"),
        "columns": [{"name": column.name, "type": column.type} for column in columns],
        "errors": errors,
        **records,
    }


def _before(change: Change, columns: list[Column]) -> Row:
    """Return the old row, or only its key: if the log has no more, or the table has policies."""
    old = change.old or change.new or {}
    if change.old_is_whole and not columns[0].has_policies:
        return old
    return {column.name: old[column.name] for column in columns if column.in_key}


def _small_values(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in record.items()
        if len(json.dumps(value, ensure_ascii=False).encode()) <= _MAX_VALUE_BYTES
    }
