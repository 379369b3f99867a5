"""The local stack's fixed development keys, and the role of a request.

As on the platform, an opaque `sb_…` key stands for a role and the gateway translates it to a JWT; a
user's JWT in `Authorization` takes precedence over the key; and every service trusts only the JWT.
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
    """The token is not a JWT of this stack, or has expired."""


def token_of(request: web.Request) -> str:
    """Return the JWT of the request.

    Raises:
        web.HTTPUnauthorized: there is no key, or an unknown opaque one.
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
    """Return a JWT with these claims that is valid for `seconds`, as in Storage's signed URLs."""
    now = int(time.time())
    return jwt.encode({**claims, "iat": now, "exp": now + seconds}, JWT_SECRET, algorithm="HS256")


def _unauthorized(message: str, hint: str) -> web.HTTPUnauthorized:
    body = json.dumps({"message": message, "hint": hint})
    return web.HTTPUnauthorized(text=body, content_type="application/json")
