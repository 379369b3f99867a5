"""What values the settings accept, and how they are written."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from urllib.parse import urlsplit

from pydantic import SecretStr

SIGNING_PREFIX = "whsec_"  # Standard Webhooks' mark of a secret
MIN_SIGNING_BYTES = 24  # Standard Webhooks' least entropy


def project_url(value: str) -> str:
    """Accept the address of a Supabase project, without a path, and drop a trailing slash."""
    try:
        parts = urlsplit(value)
        named = parts.hostname and (parts.port is None or parts.port)
    except ValueError:  # no such port
        named = None
    if parts.scheme not in {"http", "https"} or not named:
        raise ValueError("must look like https://YOUR-PROJECT.supabase.co")
    if parts.hostname == "your-project.supabase.co":
        raise ValueError("is still that of .env.example: put the address of your project there")
    if parts.username is not None:
        raise ValueError("must not hold a user or password: the key has a setting of its own")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be the project's bare address, without a path")
    return value.rstrip("/")


def database_url(value: SecretStr) -> SecretStr:
    """Accept a URL of PostgreSQL; without an `sslmode`, ask for TLS to another machine."""
    url = value.get_secret_value().strip()
    if "[YOUR-PASSWORD]" in url:
        raise ValueError("still holds [YOUR-PASSWORD]: put the database's password there")
    try:
        parts = urlsplit(url)
        right = parts.scheme in {"postgres", "postgresql"} and parts.hostname and parts.port != 0
    except ValueError:  # no such port, or brackets in a password
        right = False
    if not right:
        raise ValueError(
            "must look like postgresql://USER:PASSWORD@HOST:5432/postgres, "
            "with %2F for a / in the password, %23 for a # and so on"
        )
    if "sslmode=" in parts.query or is_this_machine(parts.hostname or ""):
        return SecretStr(url)
    return SecretStr(f"{url}{'&' if parts.query else '?'}sslmode=require")


def plain_key(value: SecretStr) -> SecretStr:
    """Accept a key of printable ASCII, and drop the space around it."""
    key = value.get_secret_value().strip()
    if not key:
        raise ValueError("must not be empty: copy the secret key from the project's API settings")
    if not (key.isascii() and key.isprintable()) or {'"', "'"} & set(key):
        raise ValueError("holds characters that no key has: copy it again, without quotes")
    return SecretStr(key)


def signing_secret(value: SecretStr) -> SecretStr:
    """Accept a Standard Webhooks secret: the prefix, then base64."""
    prefix, _, encoded = value.get_secret_value().strip().partition("_")
    try:
        length = len(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        length = 0
    if f"{prefix}_" != SIGNING_PREFIX or length < MIN_SIGNING_BYTES:
        raise ValueError(
            "must be whsec_ and 24 bytes or more in base64; "
            'make one with: echo "whsec_$(openssl rand -base64 32)"'
        )
    return SecretStr(value.get_secret_value().strip())


def pattern(value: str) -> str:
    """Accept a regular expression with one group at most."""
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"must be a regular expression ({error})") from None
    if groups > 1:
        raise ValueError("must have one group at most: the patient's code")
    return value


def is_this_machine(host: str) -> bool:
    """Whether `host` is a loopback address, or a name that stands for one (RFC 6761, 6.3)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
