"""Every error has a code of its own and says what to do."""

from __future__ import annotations

from collections import Counter

from worker.errors import PermanentError, RetryableError, SetupError, UnavailableError, WorkerError

KINDS = {WorkerError, PermanentError, RetryableError, SetupError}


def _all_below(kind: type[WorkerError]) -> list[type[WorkerError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _all_below(child))]


def test_every_code_is_used_once() -> None:
    codes = Counter(error.code for error in _all_below(WorkerError) if error not in KINDS)
    assert [code for code, times in codes.items() if times > 1] == []


def test_every_error_about_a_session_names_its_cure() -> None:
    about_sessions = _all_below(PermanentError) + _all_below(RetryableError)
    concrete = [e for e in about_sessions if e not in KINDS and not e.__subclasses__()]
    assert [error.__name__ for error in concrete if not error.cure] == []


def test_an_error_reads_as_what_happened_and_then_the_cure() -> None:
    assert str(UnavailableError("Storage does not answer.")) == (
        "Storage does not answer. Check SUPABASE_URL, the network and the project's status page."
    )
