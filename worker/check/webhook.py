"""The webhook, which is optional: from the trigger on Storage to this worker's secret."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from worker.backend.installation import Report
from worker.check.findings import Check, Finding, bad, good, note, warning
from worker.settings import Settings

TRIGGER_MIGRATION = "20261124001300_upload_trigger.sql"
INSIDE = (".localhost", ".local", ".internal", ".lan", ".home.arpa")  # how private names end
VAULT = "In the SQL editor: select vault.create_secret("
URL_CURE = (
    "Put a TLS proxy before the worker (deploy/Caddyfile) and store its address as the secret "
    "c3d_webhook_url in Vault, or remove both secrets there and let the sweep do it."
)


def webhook(report: Report, settings: Settings) -> Finding:
    """Judge whether the address and the secret in Vault fit this worker."""
    found = report.values["webhook"]
    url, digest = found.get("url"), found.get("secret_sha256")
    ours = settings.webhook_secret
    if not found["vault"] and (ours or found.get("sqlstate")):
        return bad(
            Check.WEBHOOK,
            f"Vault cannot be read ({found.get('sqlstate') or 'it is not installed'}).",
            "Enable the extension supabase_vault (Database, Extensions), or remove WEBHOOK_SECRET.",
        )
    if not url and not digest:
        return _none_announced(settings)
    if not url or not digest:
        name, example = (
            ("c3d_webhook_secret", "whsec_…") if url else ("c3d_webhook_url", "https://…")
        )
        return bad(
            Check.WEBHOOK,
            f"Vault lacks {name}: no upload is announced.",
            f"{VAULT}'{example}', '{name}');",
        )
    return (
        _refused(report.values, settings)
        or _unreachable(report.values, settings)
        or good(Check.WEBHOOK, f"Uploads are announced to {url}, signed with this worker's secret.")
    )


def trigger(report: Report, settings: Settings) -> Finding:
    """Judge whether uploads to the bucket fire the trigger."""
    found, wanted = report.values["upload_trigger"], settings.webhook_secret is not None
    if not found or not found["enabled"]:
        said = f"Uploads fire no trigger: announce_upload on storage.objects is {_gone(found)}."
        cure = f"Run {TRIGGER_MIGRATION} in the SQL editor again."
        return bad(Check.TRIGGER, said, cure) if wanted else warning(Check.TRIGGER, said, cure)
    return _other_settings(report.values["settings"] or {}, settings) or good(
        Check.TRIGGER, f"Uploads to {settings.c3d_bucket} announce themselves."
    )


def _other_settings(shared: Mapping[str, Any], settings: Settings) -> Finding | None:
    """Return what the trigger announces in place of this worker's uploads, if it does."""
    bucket = shared.get("bucket")
    if bucket is None:
        return warning(
            Check.TRIGGER,
            "worker_settings.bucket is empty: no upload announces itself.",
            "Unless other programs make the sessions: in the table editor write this worker's "
            f"bucket, {settings.c3d_bucket}, into worker_settings.",
        )
    if bucket != settings.c3d_bucket:
        return warning(
            Check.TRIGGER,
            f"The uploads of another bucket announce themselves: {bucket}.",
            f"Correct C3D_BUCKET, or start the worker: it makes that {settings.c3d_bucket}.",
        )
    if settings.other_files == "skip" and not shared["every_file"]:
        return warning(
            Check.TRIGGER,
            "Only .c3d files announce themselves.",
            "Start the worker: with OTHER_FILES=skip it makes that all files.",
        )
    return None


def is_private(host: str) -> bool:
    """Return whether, by its form, a host name or address is unreachable from the internet."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(INSIDE)


def _gone(found: Mapping[str, Any] | None) -> str:
    return "disabled" if found else "missing"


def _none_announced(settings: Settings) -> Finding:
    seconds = settings.bucket_sweep_seconds
    if settings.webhook_secret:
        return warning(
            Check.WEBHOOK,
            "This worker has a WEBHOOK_SECRET, but Vault does not say where uploads are announced.",
            f"{VAULT}'https://…/webhooks/storage', 'c3d_webhook_url'); the secret likewise, as "
            "'c3d_webhook_secret'. A webhook of the dashboard needs neither.",
        )
    if not seconds:
        return warning(
            Check.WEBHOOK,
            "There is no webhook and no sweep of the bucket: uploads get no session by themselves.",
            "Set BUCKET_SWEEP_SECONDS to 60, unless other programs create the sessions.",
        )
    return note(Check.WEBHOOK, f"no webhook: the sweep finds uploads every {seconds:g} s")


def _unreachable(values: Mapping[str, Any], settings: Settings) -> Finding | None:
    """Return the reason why a webhook cannot arrive here, if there is one."""
    parts = urlsplit(values["webhook"]["url"])
    lacking = [name for name in ("pg_net", "pgcrypto") if not values[name]]
    if lacking:
        return bad(
            Check.WEBHOOK,
            f"{' and '.join(lacking)} not installed: no upload is announced.",
            f"In the SQL editor: create extension {lacking[0]}; or Database, Extensions.",
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return bad(Check.WEBHOOK, "c3d_webhook_url in Vault is no address.", URL_CURE)
    if is_private(parts.hostname):
        if is_private(urlsplit(settings.supabase_url).hostname or ""):
            return None
        said = f"Supabase cannot reach {parts.hostname}: it is a private address."
        return bad(Check.WEBHOOK, said, URL_CURE)
    if parts.scheme == "http":
        said = f"Uploads are announced to {parts.hostname} in clear text."
        return warning(Check.WEBHOOK, said, "Use https (deploy/Caddyfile).")
    return None


def _refused(values: Mapping[str, Any], settings: Settings) -> Finding | None:
    """Return the reason why this worker would refuse a webhook, if there is one."""
    found, ours = values["webhook"], settings.webhook_secret
    if not found["secret_well_formed"]:
        return bad(
            Check.WEBHOOK,
            "c3d_webhook_secret in Vault is not whsec_ and 24 bytes or more in base64.",
            'Make one with: echo "whsec_$(openssl rand -base64 32)", and store it in Vault and as '
            "WEBHOOK_SECRET.",
        )
    if not ours:
        return bad(
            Check.WEBHOOK,
            f"Uploads are announced to {found['url']}, but this worker has no WEBHOOK_SECRET.",
            "Set it to the c3d_webhook_secret of Vault, or remove both secrets there.",
        )
    if hashlib.sha256(ours.get_secret_value().encode()).hexdigest() != found["secret_sha256"]:
        return bad(
            Check.WEBHOOK,
            "The secret in Vault is not this worker's: every webhook is refused.",
            "Set WEBHOOK_SECRET to the c3d_webhook_secret of Vault.",
        )
    return None
