"""Whether the table takes a session, tried and taken back; and which uploads lie about."""

from __future__ import annotations

from collections.abc import Iterator

from worker.backend.queue_report import QueueReport
from worker.backend.refusals import OWN_FAULTS
from worker.check.findings import Check, Finding, bad, good, warning
from worker.errors import PatientUnknownError, WorkerError

OWN_CODES = frozenset(each.code for each in OWN_FAULTS)


def trial(refusal: WorkerError | None) -> Finding:
    """Judge what the trial of a session came to; None: it was made, claimed and completed."""
    if refusal is None:
        return good(Check.TRIAL, "A session was made, claimed, completed, and taken back.")
    said = f"{refusal.args[0]} {refusal.said}".strip()
    if isinstance(refusal, PatientUnknownError):
        return warning(
            Check.TRIAL,
            "therapy_sessions.patient_id must not be empty: an upload whose patient is not entered "
            "yet waits for it.",
            "To let such uploads have their session at once: alter table public.therapy_sessions "
            "alter column patient_id drop not null;",
        )
    return bad(Check.TRIAL, said, refusal.cure)


def uploads(report: QueueReport) -> list[Finding]:
    """Name the uploads that wait for a person, or were refused for what is not their fault."""
    found = list(_findings(report))
    return found or [good(Check.UPLOADS, "No upload waits for a person.")]


def _findings(report: QueueReport) -> Iterator[Finding]:
    for code, number in sorted(report.uploads_refused_by_code.items()):
        if code not in OWN_CODES:
            yield warning(
                Check.UPLOADS,
                f"Refused as {code}, which is not the fault of a file: {number:,}.",
                f"When that is cured: c3d-worker retake --refused --code {code}",
            )
    if report.uploads_waiting_by_code:
        waiting = sorted(report.uploads_waiting_by_code.items())
        said = ", ".join(f"{number:,} for {code}" for code, number in waiting)
        yield warning(
            Check.UPLOADS,
            f"Uploads wait: {said}.",
            "upload_overview says for each what helps; then it is taken in by itself.",
        )
    if report.set_aside:
        yield warning(
            Check.UPLOADS,
            f"The rows of {report.set_aside:,} sessions refuse to be changed.",
            "session_overview says what refuses; correct that rule.",
        )
