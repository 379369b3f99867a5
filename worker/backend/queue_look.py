"""One look at both queues: whether there is anything to do."""

from __future__ import annotations

from dataclasses import dataclass, fields

from supabase import AsyncClient

from worker.backend import rest
from worker.errors import SchemaVersionError, UnavailableError

SCHEMA_VERSION = "20261124001700"  # of the functions that this worker calls: `schema_version()`


def wrong_version(found: object) -> SchemaVersionError | None:
    """Return the error of a database whose functions are of another version, if they are."""
    if found == SCHEMA_VERSION:
        return None
    return SchemaVersionError(
        f"The database has version {found} of this project's functions, "
        f"and this worker is made for {SCHEMA_VERSION}."
    )


@dataclass(frozen=True, slots=True)
class QueueLook:
    """What `look_at_queues()` says; the fields are its columns."""

    sessions_due: bool
    uploads_due: bool
    next_due_seconds: float | None  # until what waits is due; None: nothing in an hour
    announcing: bool  # a trigger announces the uploads of the bucket
    last_missed: int | None  # bell of an upload that could not be noted
    patients_awaited: bool  # sessions wait for patients that may be entered by now


class QueueLooks:
    """Looks at both queues, for one bucket."""

    def __init__(self, supabase: AsyncClient, bucket: str, *, every_file: bool) -> None:
        """Bind to a client; nothing is sent yet."""
        self._supabase = supabase
        self._which = {"bucket": bucket, "every_file": every_file}

    async def look(self) -> QueueLook:
        """Ask whether sessions and uploads are due, and what else is to be looked after.

        Raises:
            SchemaVersionError: the database has another version of the functions.
            MigrationMissingError, KeyRefusedError, UnavailableError: as their names say.
        """
        row = await rest.row(self._supabase.rpc("look_at_queues", self._which))
        try:
            if error := wrong_version(row["schema_version"]):
                raise error
            return QueueLook(**{field.name: row[field.name] for field in fields(QueueLook)})
        except KeyError as error:
            raise UnavailableError("Supabase answered another look than the queues'.") from error

    async def fill_patients(self) -> int:
        """Give sessions the patients that were entered meanwhile, and return how many."""
        return int(await rest.value(self._supabase.rpc("fill_patients")))
