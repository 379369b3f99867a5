"""Which migrations are applied, judged by what they create."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from worker.backend.installation import Api, Report
from worker.backend.metadata_service import SESSIONS
from worker.backend.queue_look import wrong_version
from worker.check.findings import Check, Finding, bad, good

REPORT = "installation_report"
PUSH = (
    "In a folder with this project's migrations (`c3d-worker migrations` writes them) run "
    "`supabase db push --remote`; for a local stack, `c3d-worker local --push`."
)
RELOAD = (
    "Run in the SQL editor: notify pgrst, 'reload schema'; if that does not help, run that "
    "migration again, it grants the access."
)


@dataclass(frozen=True, slots=True)
class Migration:
    """A file of supabase/migrations, and what it creates and drops."""

    name: str
    relations: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()  # functions that the API does not serve
    columns: tuple[str, ...] = ()  # of therapy_sessions
    dropped: tuple[str, ...] = ()  # columns of therapy_sessions that it removes


MIGRATIONS = (
    Migration(
        "20261124000100_therapy_sessions.sql",
        relations=(SESSIONS,),
        hidden=("lower_file_hash", "touch_therapy_session"),
    ),
    Migration("20261124000200_technical_data.sql", relations=("c3d_technical_data",)),
    Migration(
        "20261124000300_split_technical_columns.sql",
        dropped=(
            "original_sampling_rate",
            "original_duration_seconds",
            "original_sample_count",
            "channel_count",
            "channel_names",
            "sampling_rate",
            "duration_seconds",
            "frame_count",
        ),
    ),
    Migration(
        "20261124000400_queue.sql",
        columns=(
            "processing_attempts",
            "processing_due_at",
            "processing_claim",
            "processing_error",
            "processing_abandoned",
            "processing_queued_at",
            "read_mode",
            "read_by_version",
        ),
    ),
    Migration(
        "20261124000410_content_hash.sql",
        functions=("is_path_hash",),
        hidden=("forget_measurement",),
        columns=("hash_measured_at",),
    ),
    Migration("20261124000420_other_programs.sql", hidden=("accept_foreign_session",)),
    Migration("20261124000440_object_paths.sql", functions=("has_object", "object_path_in")),
    Migration(
        "20261124000450_set_aside.sql",
        relations=("set_aside",),
        functions=("is_trouble", "is_outage", "set_aside_session"),
    ),
    Migration(
        "20261124000500_claim_sessions.sql",
        functions=(
            "claim_sessions",
            "start_sessions",
            "start_waiting",
            "start_abandoned",
            "fail_worn_out",
            "still_due",
        ),
    ),
    Migration(
        "20261124000600_complete_sessions.sql",
        functions=(
            "technical_columns",
            "write_technical_row",
            "differing_values",
            "fault_of_completion",
            "complete_session",
            "complete_sessions",
        ),
    ),
    Migration(
        "20261124000700_return_sessions.sql",
        functions=("fail_session", "release_sessions", "extend_lease"),
    ),
    Migration(
        "20261124000800_requeue_sessions.sql",
        functions=("requeue_session", "requeue_sessions"),
    ),
    Migration(
        "20261124000940_patients.sql",
        functions=("patient_lookup", "patient_type", "find_patient"),
        columns=("patient_code",),
    ),
    Migration(
        "20261124000950_create_session.sql",
        functions=("is_rule_of", "explain_refusal", "create_session"),
    ),
    Migration("20261124000960_fill_patients.sql", functions=("fill_patients",)),
    Migration(
        "20261124000970_previews.sql",
        relations=("session_previews",),
        functions=(
            "want_preview",
            "claim_previews",
            "end_preview",
            "forget_previews",
        ),
    ),
    Migration("20261124000990_channel_faults.sql", functions=("channel_faults",)),
    Migration("20261124001000_session_overview.sql", relations=("session_overview",)),
    Migration(
        "20261124001050_worker_bells.sql",
        relations=("worker_bells",),
        functions=("ring_probe",),
    ),
    Migration(
        "20261124001060_worker_settings.sql",
        relations=("worker_settings",),
        functions=("share_settings", "is_announcing"),
    ),
    Migration(
        "20261124001100_storage_intake.sql",
        relations=("storage_intake",),
        functions=("is_upload",),
    ),
    Migration(
        "20261124001105_announce_objects.sql",
        functions=("note_uploads", "is_live", "size_said", "announce_objects", "announce_object"),
    ),
    Migration(
        "20261124001110_claim_objects.sql",
        functions=(
            "claim_objects",
            "first_due",
            "code_of",
            "is_current",
            "end_of_object",
            "extend_object_leases",
            "release_objects",
            "count_pending_objects",
        ),
    ),
    Migration(
        "20261124001200_existing_sessions.sql",
        functions=("find_session", "relink_session", "set_patient", "find_copy"),
    ),
    Migration("20261124001210_whose_session.sql", functions=("whose_session",)),
    Migration(
        "20261124001220_take_objects.sql",
        functions=("finish_object", "take_object", "take_objects"),
    ),
    Migration("20261124001225_retake_objects.sql", functions=("retake_objects",)),
    Migration("20261124001230_upload_overview.sql", relations=("upload_overview",)),
    Migration(
        "20261124001300_upload_trigger.sql", hidden=("send_upload_webhook", "announce_upload")
    ),
    Migration(
        "20261124001400_cache.sql",
        functions=(
            "count_cache_hit",
            "cached_statistics",
            "cache_statistics",
            "invalidate_statistics",
        ),
    ),
    Migration("20261124001440_schema_version.sql", functions=("schema_version",)),
    Migration("20261124001450_look_at_queues.sql", functions=("look_at_queues",)),
    Migration("20261124001500_queue_report.sql", functions=("queue_report", "rows_estimated")),
    Migration(
        "20261124001600_installation_report.sql",
        functions=("webhook_report", REPORT),
    ),
    Migration("20261124001700_try_session.sql", functions=("try_session",)),
)
RELATIONS = frozenset(name for each in MIGRATIONS for name in each.relations)
FUNCTIONS = frozenset(name for each in MIGRATIONS for name in (*each.functions, *each.hidden))


def schema(api: Api | None, report: Report | None) -> list[Finding]:
    """Compare what the migrations create with what the API serves and the database holds.

    Args:
        api: what PostgREST serves; None where it does not describe itself.
        report: what the database holds; None where `installation_report` is missing, which is a
            finding by itself.
    """
    found = list(_findings(api, report))
    if found:
        return found
    if report and (other := wrong_version(report.values.get("schema_version"))):
        return [bad(Check.SCHEMA, other.args[0], other.cure)]
    said = f"All {len(RELATIONS)} tables and {len(FUNCTIONS)} functions are there."
    return [good(Check.SCHEMA, said)]


def _findings(api: Api | None, report: Report | None) -> Iterator[Finding]:
    held, columns = _held(report), _columns(report)
    for migration in MIGRATIONS:
        served = (*migration.relations, *migration.functions)
        missing = [name for name in (*served, *migration.hidden) if _lacks(name, held, api)]
        if columns is not None:
            missing += [f"{SESSIONS}.{name}" for name in migration.columns if name not in columns]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            said = f"{migration.name} is not applied: {', '.join(missing)} {verb} missing."
            yield bad(Check.SCHEMA, said, PUSH)
            continue
        if left := [name for name in migration.dropped if name in (columns or ())]:
            said = f"{migration.name} is not applied: {SESSIONS} still has {', '.join(left)}."
            yield bad(Check.SCHEMA, said, PUSH)
        if held is not None and api is not None:
            unseen = [name for name in served if name not in api.relations | api.functions]
            if unseen:
                said = f"The API does not serve {', '.join(unseen)} of {migration.name}."
                yield bad(Check.SCHEMA, said, RELOAD)


def _held(report: Report | None) -> Collection[str] | None:
    """Return the relations and functions that the database holds; None if unknown."""
    if report is None:
        return None
    return {*report.values["relations"], *report.values["functions"]}


def _columns(report: Report | None) -> Collection[str] | None:
    """Return the columns of therapy_sessions; None if unknown."""
    relation = report.values["relations"].get(SESSIONS) if report else None
    return relation["columns"] if relation else None


def _lacks(name: str, held: Collection[str] | None, api: Api | None) -> bool:
    """Return whether `name` is missing: the database knows best; the API does not serve all."""
    if held is not None:
        return name not in held
    if api is None:  # all that is known is that the function of the report is missing
        return name == REPORT
    hidden = any(name in migration.hidden for migration in MIGRATIONS)
    return not hidden and name not in api.relations | api.functions
