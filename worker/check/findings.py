"""What a check finds: one line, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Check(StrEnum):
    """What is looked at, in the order it is shown."""

    URL = "URL"
    KEY = "key"
    SCHEMA = "tables and functions"
    CLOCK = "clock"
    BUCKET = "bucket"
    PUBLICATION = "publication"
    REALTIME = "Realtime"
    TRIAL = "a session"
    UPLOADS = "uploads"
    ACCESS = "access"
    WEBHOOK = "webhook"
    TRIGGER = "upload trigger"
    FOLDER = "temporary folder"


class Verdict(StrEnum):
    """How it is."""

    GOOD = "ok"
    WARNING = "warning"  # the worker serves sessions, but somebody should look at it
    BAD = "failed"
    NOTE = "note"  # left out on purpose
    UNCHECKED = "not checked"  # what it depends on failed


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    check: Check
    verdict: Verdict
    said: str
    cure: str = ""

    def as_json(self) -> dict[str, str]:
        """The line for programs."""
        return asdict(self)


def good(check: Check, said: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.GOOD, said)


def warning(check: Check, said: str, cure: str) -> Finding:
    """Somebody should look at it."""
    return Finding(check, Verdict.WARNING, said, cure)


def bad(check: Check, said: str, cure: str) -> Finding:
    """It does not work."""
    return Finding(check, Verdict.BAD, said, cure)


def note(check: Check, said: str) -> Finding:
    """It is not there, and need not be."""
    return Finding(check, Verdict.NOTE, said)


def unchecked(*checks: Check) -> list[Finding]:
    """Looking at these would say nothing, because something before them failed."""
    return [Finding(check, Verdict.UNCHECKED, "not checked") for check in checks]


def well(findings: Iterable[Finding]) -> bool:
    """Whether nothing failed."""
    return all(finding.verdict is not Verdict.BAD for finding in findings)
