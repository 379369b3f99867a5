"""How this worker hears of uploads: by the trigger on Storage, or by reading the bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.backend.installation import Report
from worker.check.findings import Check, Finding, bad, good, note, warning
from worker.settings import Settings

TRIGGER_MIGRATION = "20261124001300_upload_trigger.sql"


def trigger(report: Report, settings: Settings) -> Finding:
    """Judge whether uploads to the bucket announce themselves, and what finds them otherwise."""
    found, shared = report.values["upload_trigger"], report.values["settings"] or {}
    if shared.get("bucket") is None:
        return _announcing_nothing(report, settings)
    if not found or not found["enabled"]:
        return _not_fired(found, report, settings)
    return _other_settings(shared, settings) or good(
        Check.TRIGGER, f"Uploads to {settings.c3d_bucket} announce themselves."
    )


def _announcing_nothing(report: Report, settings: Settings) -> Finding:
    """Judge the setting for projects whose own programs make the sessions."""
    reads, in_vault = settings.bucket_sweep_seconds, report.values["webhook"].get("url")
    if reads or in_vault:
        instead = _found_by_reading(settings) if reads else "no webhook is sent."
        return warning(
            Check.TRIGGER,
            f"worker_settings.bucket is empty, so no upload announces itself; {instead}",
            "If other programs make the sessions: BUCKET_SWEEP_SECONDS=0, and no webhook in Vault. "
            f"If not: in the table editor write this worker's bucket, {settings.c3d_bucket}, into "
            "worker_settings.",
        )
    others = "a webhook of the dashboard" if settings.webhook_secret else "another program"
    return note(Check.TRIGGER, f"no upload announces itself: that is left to {others}")


def _not_fired(found: Mapping[str, Any] | None, report: Report, settings: Settings) -> Finding:
    said = (
        "Uploads do not announce themselves: announce_upload on storage.objects is "
        f"{'disabled' if found else 'missing'}"
    )
    cure = f"Run {TRIGGER_MIGRATION} in the SQL editor again."
    in_vault = report.values["webhook"].get("url")
    if settings.bucket_sweep_seconds:
        said = f"{said}; {_found_by_reading(settings)}"
        return bad(Check.TRIGGER, said, cure) if in_vault else warning(Check.TRIGGER, said, cure)
    if settings.webhook_secret and not in_vault:  # which no check can see
        return warning(Check.TRIGGER, f"{said}; only a webhook of the dashboard does it.", cure)
    return bad(
        Check.TRIGGER,
        f"{said}, and this worker does not read the bucket: uploads get no session.",
        f"{cure} Until then: BUCKET_SWEEP_SECONDS=60.",
    )


def _other_settings(shared: Mapping[str, Any], settings: Settings) -> Finding | None:
    """Return what the trigger announces in place of this worker's uploads, if it does."""
    if shared["bucket"] != settings.c3d_bucket:
        return warning(
            Check.TRIGGER,
            f"The uploads of another bucket announce themselves: {shared['bucket']}.",
            f"Correct C3D_BUCKET, or start the worker: it makes that {settings.c3d_bucket}.",
        )
    if settings.other_files == "skip" and not shared["every_file"]:
        return warning(
            Check.TRIGGER,
            "Only .c3d files announce themselves.",
            "Start the worker: with OTHER_FILES=skip it makes that all files.",
        )
    return None


def _found_by_reading(settings: Settings) -> str:
    return f"the worker reads the bucket every {settings.bucket_sweep_seconds:g} s instead."
