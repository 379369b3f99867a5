"""Why a dry run cannot be made. Needs no asyncpg, so that its absence can be told."""

from __future__ import annotations

from worker.errors import SetupError


class PackageMissingError(SetupError):
    """A package that only some commands need is not installed."""

    code = "package_missing"


class DatabaseUnreachableError(SetupError):
    """The database at SUPABASE_DB_URL does not answer, or refuses its user."""

    code = "database_unreachable"
    cure = (
        "Compare SUPABASE_DB_URL with what the project's dashboard shows under Connect; from a "
        "network without IPv6 take the session pooler's."
    )


class DryRunGaveUpError(SetupError):
    """The dry run gave up, so that nobody had to wait for it; everything was taken back."""

    code = "dry_run_gave_up"
    cure = (
        "Everything was taken back. Try again in a quiet moment, or on a restored copy of the "
        "database; or add --without-locks, which only reads."
    )
