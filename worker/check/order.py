"""All checks in their order; one that depends on a failed one is left out."""

from __future__ import annotations

from worker.backend.connection import Connection, connect
from worker.backend.installation import Installation, Report
from worker.backend.metadata_service import SESSIONS, MetadataService
from worker.backend.object_store import ObjectStore
from worker.backend.previews import PREVIEWS
from worker.backend.queue_report import QueueReports
from worker.backend.realtime_connection import ConnectionLostError
from worker.backend.realtime_listener import prove
from worker.check import key
from worker.check.database import access, clock, patients, publication
from worker.check.findings import Check, Finding, bad, good, unchecked, warning, well
from worker.check.machine import temporary_folder
from worker.check.schema import schema
from worker.check.upload_trigger import trigger
from worker.check.uploads import trial, uploads
from worker.check.webhook import webhook
from worker.errors import KeyRefusedError, MigrationMissingError, UnavailableError, WorkerError
from worker.settings import Settings

REALTIME_SECONDS = 15.0  # to connect, join and hear that the feed runs
NEEDING_KEY = tuple(check for check in Check if check not in {Check.URL, Check.KEY, Check.FOLDER})
NEEDING_SCHEMA = (Check.TRIAL, Check.UPLOADS)
NEEDING_REPORT = (
    Check.CLOCK,
    Check.PUBLICATION,
    Check.PATIENTS,
    Check.ACCESS,
    Check.WEBHOOK,
    Check.TRIGGER,
)
ORDER = list(Check)


async def check(settings: Settings) -> list[Finding]:
    """Check everything, change nothing, and return the findings in the order of `Check`."""
    async with connect(settings) as connection:
        found = [*await _project(connection, settings), temporary_folder(settings)]
    return sorted(found, key=lambda finding: ORDER.index(finding.check))


async def _project(connection: Connection, settings: Settings) -> list[Finding]:
    installation = Installation(connection)
    api, refusal = None, None
    try:
        api = await installation.api()
    except KeyRefusedError as error:
        refusal = error
    except UnavailableError as error:
        return [bad(Check.URL, error.args[0], error.cure), *unchecked(Check.KEY, *NEEDING_KEY)]
    found = [
        _url(settings),
        key.refused(connection.key, refusal) if refusal else key.accepted(connection.key),
    ]
    if not well(found):
        return [*found, *unchecked(*NEEDING_KEY)]

    report: Report | None = None
    try:
        report = await installation.report()
    except MigrationMissingError:
        found += schema(api, None)
    except WorkerError as error:
        found.append(bad(Check.SCHEMA, f"installation_report: {_said(error)}", error.cure))
    else:
        found += schema(api, report)
    found.append(await _buckets(connection, settings))
    found += _reported(report, settings)
    has_schema = well(each for each in found if each.check is Check.SCHEMA)
    found += await _tried(connection, installation) if has_schema else unchecked(*NEEDING_SCHEMA)
    found += await _realtime(connection, found, served=api is None or SESSIONS in api.relations)
    return found


def _url(settings: Settings) -> Finding:
    said = f"{settings.supabase_url} answers"
    if settings.sends_in_clear:
        return warning(
            Check.URL,
            f"{said}, but the way there is not encrypted: the key and the recordings can be read.",
            "Use https in SUPABASE_URL; before a Supabase of your own put a proxy that speaks it.",
        )
    return good(Check.URL, f"{said}.")


def _reported(report: Report | None, settings: Settings) -> list[Finding]:
    if report is None:
        return unchecked(*NEEDING_REPORT)
    has_sessions = SESSIONS in report.values["relations"]
    return [
        clock(report),
        *([publication(report)] if has_sessions else unchecked(Check.PUBLICATION)),
        *([patients(report)] if report.values.get("patients") else unchecked(Check.PATIENTS)),
        *(access(report) if report.values["relations"] else unchecked(Check.ACCESS)),
        webhook(report, settings),
        trigger(report, settings),
    ]


async def _tried(connection: Connection, installation: Installation) -> list[Finding]:
    try:
        tried = trial(await installation.trial())
        return [tried, *uploads(await QueueReports(connection.supabase).queue())]
    except WorkerError as error:
        return [bad(Check.TRIAL, _said(error), error.cure), *unchecked(Check.UPLOADS)]


async def _buckets(connection: Connection, settings: Settings) -> Finding:
    """Judge the bucket of the recordings, and that of their pictures where there are some."""
    names = [settings.c3d_bucket, *([PREVIEWS] if settings.draws else [])]
    try:
        public = [name for name in names if await ObjectStore(connection, name).check()]
    except UnavailableError as error:
        return bad(Check.BUCKET, error.args[0], error.cure)
    if public:
        return bad(
            Check.BUCKET,
            f"The bucket {public[0]} is public: anybody who knows a path can download it.",
            "Switch off Public bucket in the dashboard: Storage, the bucket, Edit bucket.",
        )
    verb = "is" if len(names) == 1 else "are"
    return good(Check.BUCKET, f"{' and '.join(names)} {verb} there, and private.")


async def _realtime(connection: Connection, found: list[Finding], *, served: bool) -> list[Finding]:
    """Join as the worker does, unless `found` or `served` already say that it would fail."""
    if not served or not well(each for each in found if each.check is Check.PUBLICATION):
        return unchecked(Check.REALTIME)
    try:
        ring_probe = MetadataService(connection.supabase).ring_probe
        await prove(connection.url, connection.key, ring_probe, seconds=REALTIME_SECONDS)
    except (ConnectionLostError, UnavailableError) as error:
        return [
            bad(
                Check.REALTIME,
                f"Inserts are not heard ({error}): uploads and new sessions wait for the poll.",
                "Look at Realtime's settings and logs in the dashboard, and at proxies that "
                "refuse WebSockets.",
            )
        ]
    return [good(Check.REALTIME, "Joined, and a change that was made was heard.")]


def _said(error: WorkerError) -> str:
    """What happened, and what the database said: it is shown to the operator, and not logged."""
    return f"{error.args[0]} {error.said}".strip()
