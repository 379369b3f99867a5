"""What a check finds: one line, and its cure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Check(StrEnum):
    """What is checked, in the order in which it is shown."""

    URL = "URL"
    KEY = "key"
    SCHEMA = "tables and functions"
    CLOCK = "clock"
    BUCKET = "bucket"
    PUBLICATION = "publication"
    REALTIME = "Realtime"
    PATIENTS = "patients"
    TRIAL = "a session"
    UPLOADS = "uploads"
    ACCESS = "access"
    WEBHOOK = "webhook"
    TRIGGER = "upload trigger"
    FOLDER = "temporary folder"


class Verdict(StrEnum):
    """The result of a check."""

    GOOD = "ok"
    WARNING = "warning"  # the worker can process sessions, but a person should look at it
    BAD = "failed"
    NOTE = "note"  # absent on purpose
    UNCHECKED = "not checked"  # a check that it depends on failed


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the result."""

    check: Check
    verdict: Verdict
    said: str  # a sentence
    cure: str = ""  # sentences; empty where nothing has to be done

    def as_json(self) -> dict[str, str]:
        """Return the line as an element of what `check --json` prints."""
        return asdict(self)


def good(check: Check, said: str) -> Finding:
    """Return the finding that everything is as it should be."""
    return Finding(check, Verdict.GOOD, said)


def warning(check: Check, said: str, cure: str) -> Finding:
    """Return the finding that a person should look at something."""
    return Finding(check, Verdict.WARNING, said, cure)


def bad(check: Check, said: str, cure: str) -> Finding:
    """Return the finding that something does not work."""
    return Finding(check, Verdict.BAD, said, cure)


def note(check: Check, said: str) -> Finding:
    """Return the finding that something optional is absent."""
    return Finding(check, Verdict.NOTE, said)


def unchecked(*checks: Check) -> list[Finding]:
    """Return the finding, for each of the checks, that one which it depends on failed."""
    return [Finding(check, Verdict.UNCHECKED, "not checked") for check in checks]


def well(findings: Iterable[Finding]) -> bool:
    """Return whether none of the findings is `BAD`."""
    return all(finding.verdict is not Verdict.BAD for finding in findings)
