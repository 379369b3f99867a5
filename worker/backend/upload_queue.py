"""`storage_intake`: the queue of uploads, claimed under leases, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from supabase import AsyncClient

from worker.backend import rest
from worker.backend.refusals import refusal_of
from worker.errors import UnavailableError, WorkerError

INTAKE = "storage_intake"


class Outcome(StrEnum):
    """What became of an upload."""

    WAITING = "waiting"  # to be taken in when it is due
    TAKING = "taking"  # a worker is downloading it
    SESSION = "session"
    DUPLICATE = "duplicate"  # its content has a session already
    SKIPPED = "skipped"  # not a recording: its session says so
    REFUSED = "refused"  # no session is possible
    SUPERSEDED = "superseded"  # overwritten before it was taken in
    GONE = "gone"  # deleted before it was taken in
    LOST = "lost"  # another worker has claimed it: nothing was changed


class Retakeable(StrEnum):
    """Which uploads can be taken in anew all together."""

    REFUSED = "refused"
    ALL = "all"  # that have an outcome


UNFINISHED = frozenset({Outcome.WAITING, Outcome.TAKING})


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """What became of an upload, and the session it is about."""

    outcome: Outcome
    session: UUID | None = None
    detail: str | None = None  # why it was refused, or what it waits for: "code: sentence"
    requeued: bool = False  # that session is read again


@dataclass(frozen=True, slots=True)
class ClaimedObject:
    """A version of an object that this worker has claimed, until its lease ends."""

    id: UUID
    claim: UUID
    version: str
    path: str
    size: int | None  # bytes, as Storage says
    attempt: int
    waited_for: str | None = None  # the code of what it was put off for last
    abandoned: bool = False  # hashing opens no file, so it is not what a worker dies of

    def fence(self) -> dict[str, Any]:
        """Return the arguments by which SQL knows that the claim is still this worker's."""
        return {"object": str(self.id), "version": self.version, "claim": str(self.claim)}


@dataclass(frozen=True, slots=True)
class IntakeBacklog:
    """Uploads without an outcome."""

    waiting: int
    due: int  # of those that wait
    taking: int  # by some worker

    @property
    def unfinished(self) -> int:
        """Those that wait and those that are being taken in."""
        return self.waiting + self.taking


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the bucket, whose objects are in the queue now."""

    announced: int  # that were not there before
    due: bool  # uploads wait that a worker may take in now
    last_name: str | None  # where the next page begins; None: the bucket ends here
    patients_awaited: bool  # at the end: sessions wait for patients that may be entered by now


class UploadQueue:
    """Announces, claims and ends the uploads of one bucket."""

    kind = "object"

    def __init__(
        self, supabase: AsyncClient, bucket: str, *, lease_seconds: int, every_file: bool
    ) -> None:
        """Of `bucket` the `.c3d` files are taken in, or with `every_file` all of them."""
        self._supabase = supabase
        self.bucket = bucket
        self.every_file = every_file
        self.lease_seconds = lease_seconds

    async def check(self) -> None:
        """Ask for the functions of its migrations; changes nothing.

        Raises:
            MigrationMissingError, KeyRefusedError, UnavailableError: as their names say.
        """
        await self.extend([])

    async def announce_page(self, after: str) -> Page:
        """Put the next objects of the bucket into the queue, in the order of their names."""
        arguments = {"bucket": self.bucket, "every_file": self.every_file, "after_name": after}
        row = await rest.row(self._supabase.rpc("announce_objects", arguments))
        return Page(row["announced"], row["due"], row["last_name"], row["patients_awaited"])

    async def fill_patients(self) -> int:
        """Give sessions the patients that were entered meanwhile, and return how many."""
        return int(await rest.value(self._supabase.rpc("fill_patients")))

    async def announce(self, object_id: UUID) -> Outcome | None:
        """Put one object into the queue, and return what is known of it; None: it is not there."""
        where = {"bucket": self.bucket, "every_file": self.every_file}
        arguments = {"object": str(object_id), **where}
        found = await rest.value(self._supabase.rpc("announce_object", arguments))
        return None if found is None else _outcome(found)

    async def claim(
        self, claim: UUID, *, limit: int, with_abandoned: bool = False
    ) -> list[ClaimedObject]:
        """Claim up to `limit` uploads that are due, the longest due first."""
        del with_abandoned
        return await self._claim(claim, batch_size=limit)

    async def claim_one(self, object_id: UUID) -> ClaimedObject | None:
        """Claim an object that was announced, unless it is ended, claimed or not due."""
        found = await self._claim(uuid4(), batch_size=1, only_object=str(object_id))
        return found[0] if found else None

    async def extend(self, items: Sequence[ClaimedObject]) -> dict[UUID, bool]:
        """Extend the leases, and return as `Queue.extend` says."""
        arguments = {**_fences(items), "lease_seconds": self.lease_seconds}
        found = await rest.rows(self._supabase.rpc("extend_object_leases", arguments))
        return {UUID(row["object"]): row["extended"] for row in found}

    async def release(
        self,
        items: Sequence[ClaimedObject],
        reason: WorkerError | None,
        *,
        delay_seconds: float = 0,
        counted: bool = False,
    ) -> set[UUID]:
        """Let uploads wait again, with what they wait for; the attempt is `counted` or not.

        The count begins anew where an upload waits for something else than before.
        """
        arguments = {
            **_fences(items),
            "reason": reason.told if reason else None,
            "delay_seconds": delay_seconds,
            "counted": counted,
        }
        query = self._supabase.rpc("release_objects", arguments)
        return {UUID(released) for released in await rest.scalars(query)}

    async def take(
        self,
        claimed: ClaimedObject,
        *,
        sha256: str,
        size: int,
        patient: str | None,
        recording: bool,
    ) -> IntakeResult:
        """Give an upload that was hashed its session, new or known, all in one transaction.

        Raises:
            PatientUnknownError, PathHeldError, RowRefusedError: it has to wait, and for what.
            SchemaRefusesError: the table refuses it, and perhaps every session.
            UnavailableError: Supabase is in trouble.
        """
        arguments = {
            **claimed.fence(),
            "file_hash": sha256,
            "size_bytes": size,
            "patient": patient,
            "recording": recording,
        }
        row = await rest.row(self._supabase.rpc("take_object", arguments))
        if refusal := refusal_of(row):
            raise refusal
        session = row["session_id"]
        return IntakeResult(
            _outcome(row["outcome"]), UUID(session) if session else None, requeued=row["requeued"]
        )

    async def refuse(self, claimed: ClaimedObject, error: WorkerError) -> IntakeResult:
        """End an upload of which no session is possible."""
        arguments = {**claimed.fence(), "outcome": Outcome.REFUSED, "detail": error.told}
        ended = await rest.word(self._supabase.rpc("finish_object", arguments), among=Outcome)
        return IntakeResult(ended, detail=error.told)

    async def retake(
        self,
        which: Retakeable,
        *,
        code: str | None = None,
        before: str | None = None,
        dry_run: bool,
    ) -> tuple[int, str]:
        """Let uploads that ended and are still there wait again, a bounded number of them.

        Args:
            which: all of them, or the refused ones.
            code: only refused ones with this error code; None: with any.
            before: the time that the first call returned; None for the first call.
            dry_run: count all of them and change nothing.

        Returns:
            How many, and the time before which those of the next call must have ended.
        """
        return await self._retake(which=which, code=code, ended_before=before, dry_run=dry_run)

    async def retake_named(self, which: str, *, dry_run: bool) -> int:
        """Let the upload at a path, or of an object's id, be due at once; 0: there is none."""
        return (await self._retake(which="named", named=which, dry_run=dry_run))[0]

    async def backlog(self) -> IntakeBacklog:
        """Count the uploads that are in the queue and have no outcome yet."""
        row = await rest.row(self._supabase.rpc("count_pending_objects", {"bucket": self.bucket}))
        return IntakeBacklog(row["waiting"], row["due"], row["taking"])

    async def result(self, object_id: UUID) -> IntakeResult | None:
        """Return what became of the object's last version, if it was announced."""
        rows = self._supabase.table(INTAKE).select("outcome", "session_id", "detail")
        rows = rows.eq("object_id", str(object_id)).order("announced_at", desc=True).limit(1)
        found = await rest.rows(rows)
        if not found:
            return None
        session = found[0]["session_id"]
        return IntakeResult(
            Outcome(found[0]["outcome"]), UUID(session) if session else None, found[0]["detail"]
        )

    async def _retake(self, **arguments: Any) -> tuple[int, str]:
        arguments["bucket"] = self.bucket
        row = await rest.row(self._supabase.rpc("retake_objects", arguments))
        return row["retaken"], row["ended_before_next"]

    async def _claim(self, claim: UUID, **which: Any) -> list[ClaimedObject]:
        arguments = {
            "claim": str(claim),
            "bucket": self.bucket,
            "lease_seconds": self.lease_seconds,
            **which,
        }
        # A row without an object: uploads were ended only, a bounded number of them; ask again.
        found: list[dict[str, Any]] = [{"object_id": None}]
        while found and found[0]["object_id"] is None:
            found = await rest.rows(self._supabase.rpc("claim_objects", arguments))
        return [
            ClaimedObject(
                id=UUID(row["object_id"]),
                claim=claim,
                version=row["version"],
                path=row["object_path"],
                size=row["size_bytes"],
                attempt=row["attempts"],
                waited_for=row["waited_for"],
            )
            for row in found
        ]


def _outcome(word: Any) -> Outcome:
    try:
        return Outcome(word)
    except ValueError:
        raise UnavailableError("Supabase answered an unknown outcome.") from None


def _fences(items: Sequence[ClaimedObject]) -> dict[str, Any]:
    return {
        "claims": sorted({str(each.claim) for each in items}),
        "objects": sorted({str(each.id) for each in items}),
    }
