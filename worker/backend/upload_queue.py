"""`storage_intake`: the queue of uploads, claimed under leases, and what became of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

from supabase import AsyncClient

from worker.backend import horizon, rest
from worker.backend.queued_uploads import (
    ClaimedObject,
    IntakeBacklog,
    IntakeResult,
    Measured,
    Outcome,
    PathBefore,
    Retakeable,
)
from worker.backend.refusals import refusal_of
from worker.errors import UnavailableError, WorkerError

INTAKE = "storage_intake"


class UploadQueue:
    """Announces, claims and ends the uploads of one bucket."""

    kind = "object"

    def __init__(
        self, supabase: AsyncClient, bucket: str, *, lease_seconds: int, every_file: bool
    ) -> None:
        """Of `bucket` the `.c3d` files are taken in, or with `every_file` all of them."""
        self._supabase = supabase
        self._which = {"bucket": bucket, "every_file": every_file}
        self.bucket = bucket
        self.every_file = every_file
        self.lease_seconds = lease_seconds
        self._horizon = horizon.of_uploads()

    async def check(self) -> None:
        """Ask for the functions of its migrations; changes nothing.

        Raises:
            MigrationMissingError, KeyRefusedError, UnavailableError: as their names say.
        """
        await self.extend([])
        await self._taken([])

    async def share_settings(self) -> bool:
        """Have uploads to this bucket announce themselves; return whether they did not before."""
        return bool(await rest.value(self._supabase.rpc("share_settings", self._which)))

    async def announce_page(self, after: str, missed: int | None = None) -> tuple[int, str | None]:
        """Put the next objects of the bucket into the queue, in the order of their names.

        Args:
            after: the last name of the page before.
            missed: the last bell of a missed upload that is done with at the end of the bucket.

        Returns:
            How many were not there before, and the last name; None: the bucket ends here.
        """
        arguments = {**self._which, "after_name": after, "missed_up_to": missed}
        row = await rest.row(self._supabase.rpc("announce_objects", arguments))
        return row["announced"], row["last_name"]

    async def announce(self, object_id: UUID) -> Outcome | None:
        """Put one object into the queue, and return what is known of it; None: it is not there."""
        arguments = {"object": str(object_id), **self._which}
        found = await rest.value(self._supabase.rpc("announce_object", arguments))
        return None if found is None else _outcome(found)

    async def claim(
        self, claim: UUID, *, limit: int, with_abandoned: bool = False
    ) -> list[ClaimedObject]:
        """Claim up to `limit` uploads that are due: the newest, and those longest due."""
        del with_abandoned
        found = await self._claimed_rows(claim, batch_size=limit, **self._horizon.arguments())
        if found and found[-1]["object_id"] is None:
            self._horizon.move(found.pop())
        return [_claimed(claim, row) for row in found]

    def look_at_all(self) -> None:
        """Have the next claim look at all uploads."""
        self._horizon.forget()

    async def claim_one(self, object_id: UUID) -> ClaimedObject | None:
        """Claim an object that was announced, unless it is ended, claimed or not due."""
        claim = uuid4()
        found = await self._claimed_rows(claim, batch_size=1, only_object=str(object_id))
        return _claimed(claim, found[0]) if found else None

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
        self, measured: Sequence[Measured], patient_of: Callable[[str], str | None]
    ) -> list[IntakeResult | WorkerError]:
        """Give uploads that were hashed their sessions, new or known, all in one transaction.

        Args:
            measured: the uploads.
            patient_of: finds the patient's code in a path.

        Returns:
            What became of each, in the order given; or why it has to wait: PatientUnknownError,
            PathHeldError, RowRefusedError, or SchemaRefusesError, which perhaps meets every upload.

        Raises:
            UnavailableError: Supabase is in trouble.
        """
        rows = await self._taken([each.argument() for each in measured])
        moved = {
            object_id: PathBefore(row["moved_from"], patient_of(row["moved_from"]))
            for object_id, row in rows.items()
            if row["moved_from"]
        }
        if moved:
            again = [each for each in measured if str(each.upload.id) in moved]
            rows |= await self._taken([e.argument(moved[str(e.upload.id)]) for e in again])
        try:
            return [_result(rows[str(each.upload.id)]) for each in measured]
        except KeyError:
            raise UnavailableError("Supabase left out an upload that was taken in.") from None

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
        dry_run: bool,
    ) -> AsyncIterator[int]:
        """Let uploads that ended and are still there wait again; yield how many, call by call.

        Args:
            which: all of them, or the refused ones.
            code: only refused ones with this error code; None: with any.
            dry_run: count them and change nothing.
        """
        page: dict[str, Any] = {"last_object": None, "ended_before_next": None}
        while True:
            page = await self._retake(
                which=which,
                code=code,
                dry_run=dry_run,
                ended_before=page["ended_before_next"],
                after_object=page["last_object"],
            )
            yield page["retaken"]
            if page["last_object"] is None:
                return

    async def retake_named(self, which: str, *, dry_run: bool) -> int:
        """Let the upload at a path, or of an object's id, be due at once; 0: there is none."""
        page = await self._retake(which="named", named=which, dry_run=dry_run)
        return int(page["retaken"])

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

    async def _taken(self, takes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Call `take_objects`, and return its rows by their objects."""
        found = await rest.rows(self._supabase.rpc("take_objects", {"takes": takes}))
        return {row["object"]: row for row in found}

    async def _retake(self, **arguments: Any) -> dict[str, Any]:
        arguments["bucket"] = self.bucket
        return await rest.row(self._supabase.rpc("retake_objects", arguments))

    async def _claimed_rows(self, claim: UUID, **which: Any) -> list[dict[str, Any]]:
        """Call `claim_objects` until something is claimed, or nothing is due."""
        arguments = {
            "claim": str(claim),
            "bucket": self.bucket,
            "lease_seconds": self.lease_seconds,
            **which,
        }
        while True:
            found = await rest.rows(self._supabase.rpc("claim_objects", arguments))
            if not found or any(found[0].values()):
                return found
            # A row that says nothing: uploads were ended only, a bounded number of them.


def _claimed(claim: UUID, row: dict[str, Any]) -> ClaimedObject:
    return ClaimedObject(
        id=UUID(row["object_id"]),
        claim=claim,
        version=row["version"],
        path=row["object_path"],
        size=row["size_bytes"],
        attempt=row["attempts"],
        waited_for=row["waited_for"],
    )


def _result(row: dict[str, Any]) -> IntakeResult | WorkerError:
    if refusal := refusal_of(row):
        return refusal
    if row["moved_from"]:
        return UnavailableError("Its session got another path meanwhile.")
    session = row["session_id"]
    return IntakeResult(
        _outcome(row["outcome"]),
        UUID(session) if session else None,
        requeued=row["requeued"],
        patient_changed=row["patient_changed"],
    )


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
