"""From a file on this machine to a session: upload it, take it in, and follow it to its end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from worker.backend import rest
from worker.backend.cache_service import CacheService
from worker.backend.connection import Connection
from worker.backend.metadata_service import SESSIONS, MetadataService
from worker.backend.patients import Patients, Whose
from worker.backend.queued_uploads import IntakeResult, Outcome
from worker.backend.uploads import Uploads
from worker.errors import PathTakenError, SettingError, UploadRefusedError
from worker.intake.factory import make_intake
from worker.intake.intake import RECORDING, Intake, is_recording
from worker.settings import Settings

LOOK_AGAIN = 0.5  # seconds between two looks at a session, or at another worker's intake
OUTSIDE_KEYS = re.compile(r"[^\w!\-.*'() &$@=;:+,?]", re.ASCII)  # what Storage takes in no key
HEALABLE = frozenset(
    {"failed", "skipped"}
)  # sessions that another upload of their content may heal
ELSEWHERE = frozenset({Outcome.TAKING, Outcome.LOST})  # another worker takes the upload in
HASH_DIGITS = 8  # tell apart two files of the same name


@dataclass(frozen=True, slots=True)
class Ingest:
    """Brings files in, one after the other."""

    connection: Connection
    metadata: MetadataService
    cache: CacheService
    intake: Intake
    uploads: Uploads
    patients: Patients
    pattern: re.Pattern[str]

    async def bring(
        self, file: Path, patient: str | None, on_bytes: Callable[[int], None]
    ) -> IntakeResult:
        """Upload a file and take it in; one whose content has a session is not even uploaded.

        Raises:
            SettingError: PATIENT_ID_PATTERN would not find the patient.
            UploadRefusedError, UnavailableError, OSError: as `Uploads.upload`.
        """
        path = self._path(file, patient)
        digest = await asyncio.to_thread(_sha256, file)
        known = await self.metadata.find_session(digest, path, self.intake.queue.bucket)
        if known and known.status not in HEALABLE:
            await self.cache.hit(known.id)
            return IntakeResult(Outcome.DUPLICATE, known.id)
        key, object_id = await self._upload(path, file, digest, on_bytes)
        while True:  # another worker may have been faster
            taken = await self.intake.take_now(object_id)
            if taken is None or taken.outcome is Outcome.GONE:
                raise UploadRefusedError(f"The object of {file.name} is gone again.")
            if taken.outcome not in ELSEWHERE:
                break
            await asyncio.sleep(LOOK_AGAIN)
        if taken.outcome is Outcome.SESSION and taken.session and key != _spoken(file):
            await self.metadata.name_file(taken.session, _spoken(file))
        return taken

    async def whose(self, taken: IntakeResult, patient: str | None) -> Whose | None:
        """Return whose session the file is; None: it has none yet."""
        return await self.patients.whose(taken.session, patient) if taken.session else None

    async def finished(self, session: UUID) -> dict[str, Any]:
        """Wait until a worker has finished the session, and return its row."""
        query = self.connection.supabase.table(SESSIONS).select("*").eq("id", str(session))
        while True:
            rows = await rest.rows(query)
            if not rows or rows[0]["processing_status"] not in {"pending", "processing"}:
                return rows[0] if rows else {}
            await asyncio.sleep(LOOK_AGAIN)

    async def _upload(
        self, path: str, file: Path, digest: str, on_bytes: Callable[[int], None]
    ) -> tuple[str, UUID]:
        """Upload it beside a namesake, if there is one, and never over it; return its name."""
        sent = 0

        def count(number: int) -> None:
            nonlocal sent
            sent += number
            on_bytes(number)

        try:
            return _last(path), await self.uploads.upload(path, file, count)
        except PathTakenError:
            on_bytes(-sent)  # they are sent again
            stem = path[: -len(RECORDING)]
            path = f"{stem}-{digest[:HASH_DIGITS]}{RECORDING}"
        try:
            return _last(path), await self.uploads.upload(path, file, on_bytes)
        except PathTakenError:  # this very file, uploaded before and not taken in yet
            return _last(path), await self.uploads.find(path)

    def _path(self, file: Path, patient: str | None) -> str:
        name = object_name(file.name)
        path = f"{object_name(patient)}/{name}" if patient else name
        if patient:
            found = self.pattern.search(path)
            if not found or found[self.pattern.groups] != patient:
                raise SettingError(
                    f"PATIENT_ID_PATTERN ({self.pattern.pattern}) does not find {patient!r} in the "
                    "path of the upload. Correct one of the two."
                )
        return path if is_recording(path) else path + RECORDING


def make_ingest(connection: Connection, settings: Settings) -> Ingest:
    """Ingest as the settings say."""
    return Ingest(
        connection,
        MetadataService(connection.supabase),
        CacheService(connection.supabase),
        make_intake(connection, settings),
        Uploads(connection, settings.c3d_bucket),
        Patients(connection.supabase),
        re.compile(settings.patient_id_pattern),
    )


def object_name(name: str) -> str:
    """Write a file's name in the characters that Storage takes: accents go, others become `_`."""
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(each for each in plain if not unicodedata.combining(each))
    return OUTSIDE_KEYS.sub("_", plain)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _spoken(file: Path) -> str:
    """Return the name of a file as people read it; bytes that are no text are marked as such."""
    return os.fsencode(file.name).decode("utf-8", "replace")


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
