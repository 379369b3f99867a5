"""The webhook, which no worker needs: whether Vault and this worker's secret fit each other."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from worker.backend.installation import Report
from worker.check.findings import Check, Finding, bad, good, note, warning
from worker.settings import Settings

INSIDE = (".localhost", ".local", ".internal", ".lan", ".home.arpa")  # how private names end
VAULT = "In the SQL editor: select vault.create_secret("
URL_CURE = (
    "Put a TLS proxy before the worker (deploy/Caddyfile) and store its address as the secret "
    "c3d_webhook_url in Vault, or remove both secrets there: the worker needs no webhook."
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
        return _none_sent(settings)
    if not url or not digest:
        name, example = (
            ("c3d_webhook_secret", "whsec_…") if url else ("c3d_webhook_url", "https://…")
        )
        return bad(
            Check.WEBHOOK,
            f"Vault lacks {name}: no webhook is sent.",
            f"{VAULT}'{example}', '{name}');",
        )
    return (
        _unreachable(report.values, settings)
        or _refused(report.values, settings)
        or good(Check.WEBHOOK, f"Webhooks go to {url}, signed with this worker's secret.")
    )


def is_private(host: str) -> bool:
    """Return whether, by its form, a host name or address is unreachable from the internet."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(INSIDE)


def _none_sent(settings: Settings) -> Finding:
    if settings.webhook_secret is None:
        return note(Check.WEBHOOK, "none, and no worker needs one")
    return warning(
        Check.WEBHOOK,
        "This worker has a WEBHOOK_SECRET, but Vault does not say where webhooks go.",
        f"{VAULT}'https://…/webhooks/storage', 'c3d_webhook_url'); the secret likewise, as "
        "'c3d_webhook_secret'. A webhook of the dashboard needs neither. Without any, remove "
        "WEBHOOK_SECRET.",
    )


def _unreachable(values: Mapping[str, Any], settings: Settings) -> Finding | None:
    """Return the reason why a webhook cannot arrive, if there is one."""
    parts = urlsplit(values["webhook"]["url"])
    lacking = [name for name in ("pg_net", "pgcrypto") if not values[name]]
    if lacking:
        return bad(
            Check.WEBHOOK,
            f"{' and '.join(lacking)} not installed: no webhook is sent.",
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
        said = f"Webhooks go to {parts.hostname} in clear text."
        return warning(Check.WEBHOOK, said, "Use https (deploy/Caddyfile).")
    return None


def _refused(values: Mapping[str, Any], settings: Settings) -> Finding | None:
    """Return the reason why this worker would not take a webhook, if there is one."""
    found, ours = values["webhook"], settings.webhook_secret
    if not found["secret_well_formed"]:
        return bad(
            Check.WEBHOOK,
            "c3d_webhook_secret in Vault is not whsec_ and 24 bytes or more in base64.",
            'Make one with: echo "whsec_$(openssl rand -base64 32)", and store it in Vault and as '
            "WEBHOOK_SECRET.",
        )
    if not ours:
        return note(
            Check.WEBHOOK,
            f"webhooks go to {found['url']}; this worker takes none: it has no WEBHOOK_SECRET",
        )
    if hashlib.sha256(ours.get_secret_value().encode()).hexdigest() != found["secret_sha256"]:
        return bad(
            Check.WEBHOOK,
            "The secret in Vault is not this worker's: every webhook is refused.",
            "Set WEBHOOK_SECRET to the c3d_webhook_secret of Vault.",
        )
    return None
