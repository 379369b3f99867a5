"""Findings from the database's own report: the clock, the publication, access of others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from worker.backend.installation import Report
from worker.backend.metadata_service import SESSIONS
from worker.backend.realtime_connection import BELLS
from worker.check.findings import Check, Finding, bad, good, warning
from worker.check.schema import FUNCTIONS

CONSEQUENCE = "uploads and new sessions wait for the poll."
TEXTS = ("text", "character varying")
MAX_SKEW_SECONDS = 60.0  # well below the 5 minutes at which webhooks are refused


def clock(report: Report) -> Finding:
    """Judge whether this machine and the database agree on the time."""
    skew = report.skew_seconds
    if abs(skew) <= MAX_SKEW_SECONDS:
        return good(Check.CLOCK, "This machine and the database agree on the time.")
    return warning(
        Check.CLOCK,
        f"This machine's clock is {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} the "
        "database's; from 5 minutes on webhooks are refused.",
        "Switch on time synchronisation: timedatectl set-ntp true.",
    )


def publication(report: Report) -> Finding:
    """Judge whether Realtime announces uploads and new sessions."""
    found = report.values["publication"]
    if not found:
        return bad(
            Check.PUBLICATION,
            f"There is no publication supabase_realtime: {CONSEQUENCE}",
            "In the SQL editor: create publication supabase_realtime for table "
            "public.therapy_sessions, public.worker_bells;",
        )
    for table, held in ((SESSIONS, found["sessions"]), (BELLS, found["bells"])):
        if not held:
            return bad(
                Check.PUBLICATION,
                f"supabase_realtime does not hold {table}: {CONSEQUENCE}",
                f"In the SQL editor: alter publication supabase_realtime add table public.{table};",
            )
    if not found["inserts"]:
        return bad(
            Check.PUBLICATION,
            f"supabase_realtime sends no inserts: {CONSEQUENCE}",
            "In the SQL editor: alter publication supabase_realtime set (publish = 'insert, "
            "update, delete, truncate');",
        )
    return good(
        Check.PUBLICATION, f"supabase_realtime holds {SESSIONS} and {BELLS}, and sends inserts."
    )


def patients(report: Report) -> Finding:
    """Say where the code that a path begins with is looked up."""
    found = report.values["patients"]
    if code := found["code"]:
        said = f"The code in a path is looked up in {code}; patient_id is its {found['key']}."
        return good(Check.PATIENTS, said)
    if str(found["type"]).startswith(TEXTS):
        return good(Check.PATIENTS, "patient_id is the code with which a path begins.")
    return warning(
        Check.PATIENTS,
        f"patient_id is {found['type']}, and no table of patients is known: it stays empty.",
        "Name the table and its columns, in the SQL editor: update public.worker_settings set "
        "patients = 'public.patients', patient_code_column = 'patient_code', "
        "patient_key_column = 'id';",
    )


def access(report: Report) -> list[Finding]:
    """Judge who else has access: one finding for each opening, or one that there is none."""
    found = [
        finding
        for name, relation in sorted(report.values["relations"].items())
        for finding in _openings(name, relation)
    ]
    if opened := sorted(
        FUNCTIONS & {n for n, is_open in report.values["functions"].items() if is_open}
    ):
        found.append(
            warning(
                Check.ACCESS,
                f"anon or authenticated may call {', '.join(opened)}.",
                "Revoke it: revoke execute on function … from public, anon, authenticated;",
            )
        )
    return found or [good(Check.ACCESS, "Row level security is on, and open to nobody.")]


def _openings(name: str, relation: dict[str, Any]) -> Iterator[Finding]:
    if not relation["view"] and not relation["row_security"]:
        yield warning(
            Check.ACCESS,
            f"Row level security of {name} is off.",
            f"In the SQL editor: alter table public.{name} enable row level security;",
        )
    if relation["policies"]:
        named = ", ".join(f'"{policy}"' for policy in relation["policies"])
        yield warning(
            Check.ACCESS,
            f"{name} has policies: {named}.",
            f"If nobody needs them: drop policy … on public.{name};",
        )
    for role, privileges in sorted(relation["grants"].items()):
        yield warning(
            Check.ACCESS,
            f"{role} may {', '.join(privileges)} on {name}, as far as policies allow.",
            f"If nobody needs it: revoke all on public.{name} from {role};",
        )
