"""The kind of the key, from its form: a legacy key is a JWT that names its role.

Nothing is verified here: only the project can say whether the key is valid.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from worker.check.findings import Check, Finding, bad, good
from worker.errors import KeyRefusedError

SECRET, PUBLISHABLE = "sb_secret_", "sb_publishable_"  # prefixes of keys
SERVICE_ROLE = "service_role"


def accepted(key: str) -> Finding:
    """Judge a key that the project accepts: is it one with all rights?"""
    role = claims(key).get("role")
    if key.startswith(PUBLISHABLE) or role == "anon":
        kind = "publishable key" if key.startswith(PUBLISHABLE) else "legacy anon key"
        return _wrong(f"It is the {kind}, which may do nothing here.")
    if role and role != SERVICE_ROLE:
        return _wrong(f"It speaks for the role {str(role)[:40]!r}, which may do nothing here.")
    kind = "secret key" if key.startswith(SECRET) else "key"
    return good(Check.KEY, f"The legacy {SERVICE_ROLE} key." if role else f"A {kind}, accepted.")


def refused(key: str, error: KeyRefusedError) -> Finding:
    """Judge a key that the project refuses with `error`."""
    found = accepted(key)
    if found.cure:  # the key's form explains more than the error
        return found
    project = claims(key).get("ref")
    of = f" It is a key of the project {str(project)[:40]!r}." if project else ""
    return _wrong(f"{error.args[0]}{of}")


def claims(key: str) -> dict[str, Any]:
    """Return the claims of a JWT, unverified; {} for a key that is not a JWT."""
    parts = key.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:  # not base64, not UTF-8 or not JSON
        return {}
    return found if isinstance(found, dict) else {}


def _wrong(said: str) -> Finding:
    return bad(Check.KEY, said, KeyRefusedError.cure)
