"""The local stack's keys: fixed development keys, and who a request speaks for.

As on the platform, an opaque `sb_…` key stands for a role and the gateway translates it to a
JWT, a person's JWT in `Authorization` outranks the key, and every service trusts the JWT alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

import jwt
from aiohttp import web

# These protect nothing: they are the same on every machine and the stack listens on 127.0.0.1.
JWT_SECRET: Final = "super-secret-jwt-token-with-at-least-32-characters-long"  # noqa: S105 - see above
SECRET_KEY: Final = "sb_secret_local_stack_only_0000000000000"  # noqa: S105 - see above
PUBLISHABLE_KEY: Final = "sb_publishable_local_stack_only_00000000"
_EXPIRES: Final = 1983812996  # seconds since 1970: in 2032, as the Supabase CLI's local keys


def _role_token(role: str) -> str:
    claims = {"iss": "supabase-demo", "role": role, "exp": _EXPIRES}
    return jwt.encode(claims, JWT_SECRET, algorithm="HS256")


SERVICE_ROLE_JWT: Final = _role_token("service_role")
ANON_JWT: Final = _role_token("anon")
_TOKENS: Final = {SECRET_KEY: SERVICE_ROLE_JWT, PUBLISHABLE_KEY: ANON_JWT}


class InvalidTokenError(Exception):
    """The token is no JWT of this stack, or its time is over."""


def token_of(request: web.Request) -> str:
    """Return the JWT the request speaks with.

    Raises:
        web.HTTPUnauthorized: there is no key, or an opaque one that nobody issued.
    """
    key = request.headers.get("apikey") or request.query.get("apikey") or ""
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    presented = bearer.strip() if scheme.lower() == "bearer" and bearer.strip() else key
    if not presented:
        raise _unauthorized(
            "No API key found in request",
            "No `apikey` request header or url param was found.",
        )
    token = translate(presented)
    if token.startswith("sb_"):
        raise _unauthorized(
            "Invalid API key",
            "Double check your Supabase `anon` or `service_role` API key.",
        )
    return token


def translate(key: str) -> str:
    """Translate an opaque key to its JWT; anything else stays as it is."""
    return _TOKENS.get(key, key)


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a valid JWT of this stack.

    Raises:
        InvalidTokenError: it is malformed, expired or signed with another secret.
    """
    try:
        return jwt.decode(token, JWT_SECRET, algorithms=["HS256"], options={"verify_aud": False})
    except jwt.InvalidTokenError as error:
        raise InvalidTokenError(str(error)) from error


def sign(claims: Mapping[str, Any], seconds: int) -> str:
    """Sign claims for some seconds, as Storage does for its signed URLs."""
    now = int(time.time())
    return jwt.encode({**claims, "iat": now, "exp": now + seconds}, JWT_SECRET, algorithm="HS256")


def _unauthorized(message: str, hint: str) -> web.HTTPUnauthorized:
    body = json.dumps({"message": message, "hint": hint})
    return web.HTTPUnauthorized(text=body, content_type="application/json")
