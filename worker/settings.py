"""The settings: environment variables and a `.env` file, read once, passed on explicitly."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values, find_dotenv
from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.errors import SettingError

DB_URL = "SUPABASE_DB_URL"
DEFAULT_BUCKET = "c3d-files"  # the one that the migrations create
LEGACY_KEY = "SUPABASE_SERVICE_ROLE_KEY"
RENAMED: Mapping[str, str] = {  # old names, which are still read
    "SWEEP_SECONDS": "POLL_SECONDS",
    "DRAIN_SECONDS": "SHUTDOWN_TIMEOUT_SECONDS",
}
SIGNING_PREFIX = "whsec_"  # Standard Webhooks' mark of a secret
NUMBERS = {"int_parsing": "a whole number", "float_parsing": "a number"}
MIN_SIGNING_BYTES = 24  # Standard Webhooks' least entropy


def _project_url(value: str) -> str:
    """Accept the address of a Supabase project, without a path, and drop a trailing slash."""
    try:
        parts = urlsplit(value)
        named = parts.hostname and (parts.port is None or parts.port)
    except ValueError:  # no such port
        named = None
    if parts.scheme not in {"http", "https"} or not named:
        raise ValueError("must look like https://YOUR-PROJECT.supabase.co")
    if parts.username is not None:
        raise ValueError("must not hold a user or password: the key has a setting of its own")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be the project's bare address, without a path")
    return value.rstrip("/")


def _database_url(value: SecretStr) -> SecretStr:
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
    if "sslmode=" in parts.query or _is_this_machine(parts.hostname or ""):
        return SecretStr(url)
    return SecretStr(f"{url}{'&' if parts.query else '?'}sslmode=require")


def _plain_key(value: SecretStr) -> SecretStr:
    key = value.get_secret_value().strip()
    if not key:
        raise ValueError("must not be empty: copy the secret key from the project's API settings")
    if not (key.isascii() and key.isprintable()) or {'"', "'"} & set(key):
        raise ValueError("holds characters that no key has: copy it again, without quotes")
    return SecretStr(key)


def _signing_secret(value: SecretStr) -> SecretStr:
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


def _pattern(value: str) -> str:
    """Accept a regular expression with one group at most."""
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"must be a regular expression ({error})") from None
    if groups > 1:
        raise ValueError("must have one group at most: the patient's code")
    return value


class Settings(BaseSettings):
    """Everything that can be configured; each field is the environment variable of its name."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        env_ignore_empty=True,
        env_file_encoding="utf-8",
        hide_input_in_errors=True,
    )

    supabase_url: Annotated[str, AfterValidator(_project_url)]
    """The project's address, such as https://YOUR-PROJECT.supabase.co."""

    supabase_secret_key: Annotated[SecretStr, AfterValidator(_plain_key)] = Field(
        validation_alias=AliasChoices("SUPABASE_SECRET_KEY", LEGACY_KEY)
    )
    """The secret key (`sb_secret_…`) or the legacy service_role key. It bypasses row security."""

    c3d_bucket: str = Field(DEFAULT_BUCKET, pattern=r"^\S+$")
    """The Storage bucket of the recordings."""

    concurrency: int = Field(4, ge=1, le=64)
    """Sessions that are processed at once. More hides slow downloads, and costs memory."""

    lease_seconds: int = Field(60, ge=5, le=3600)
    """How long a claim holds unless extended: a killed worker's sessions wait this long."""

    max_attempts: int = Field(5, ge=1, le=100)
    """Attempts before a session that causes its own errors ends as `failed`."""

    poll_seconds: float = Field(
        30, ge=1, le=3600, validation_alias=AliasChoices("POLL_SECONDS", "SWEEP_SECONDS")
    )
    """How often both queues are read whatever Realtime says: the longest a lost event delays."""

    bucket_sweep_seconds: float = Field(60, ge=0, le=86400)
    """How often the bucket is read while uploads to it do not announce themselves; while they do,
    it is read at the start, after a missed one and every hour. 0: it is never read, so uploads
    from before the trigger, or missed by it, wait for `c3d-worker backfill`."""

    read_mode: Literal["verify", "header"] = "verify"
    """`verify` downloads the whole recording and compares its hash. `header` asks for its first
    256 KiB only: no hash is compared and there are no statistics; the session says so."""

    max_file_mb: int = Field(512, ge=1, le=2147)
    """Recordings of more million bytes are failed as `file_too_large`, not downloaded."""

    extract_seconds: float = Field(30, ge=1, le=3600)
    """A recording that takes longer to read is failed as `c3d_too_costly`."""

    extract_mb: int = Field(512, ge=64, le=65536)
    """A recording that takes more memory to read is failed as `c3d_too_costly`."""

    shutdown_timeout_seconds: float = Field(
        20,
        ge=0,
        le=3600,
        validation_alias=AliasChoices("SHUTDOWN_TIMEOUT_SECONDS", "DRAIN_SECONDS"),
    )
    """How long a stopping worker may go on with its active sessions before it releases them."""

    http_host: str = Field("127.0.0.1", min_length=1)
    """Where /healthz, /readyz, /metrics and the webhook are served. A TLS proxy on the same
    machine needs no other address than loopback."""

    http_port: int = Field(8787, ge=0, le=65535)
    """The port of them all; 0: nothing is served. Workers on one machine need one each."""

    webhook_secret: Annotated[SecretStr, AfterValidator(_signing_secret)] | None = None
    """Signs the uploads' webhooks (`whsec_…`). Without it none is served, and none is needed:
    uploads announce themselves over Realtime."""

    patient_id_pattern: Annotated[str, AfterValidator(_pattern)] = "^(P[0-9]+)/"
    """Finds the patient's code in an object's path: the group, or the whole match without one."""

    other_files: Literal["ignore", "skip"] = "ignore"
    """What another object than a `.c3d` file gets: nothing, or a session of status `skipped`."""

    log_format: Literal["console", "json"] = "console"
    """`console` for people, `json` for log collectors: one object a line."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe events that are logged."""

    @property
    def sends_in_clear(self) -> bool:
        """Whether the key and the recordings travel to another machine without encryption."""
        parts = urlsplit(self.supabase_url)
        return parts.scheme == "http" and not _is_this_machine(parts.hostname or "")


class DatabaseSettings(BaseSettings):
    """What a dry run of the migrations needs. The worker itself never connects to PostgreSQL."""

    model_config = Settings.model_config

    supabase_db_url: Annotated[SecretStr, AfterValidator(_database_url)]
    """The database's own address with its password, as the dashboard shows it under Connect."""


def load_settings(**overrides: Any) -> Settings:
    """Read the environment, then the nearest `.env` at or above the working directory.

    Raises:
        SettingError: a setting is missing or malformed; the sentence names it and its cure.
    """
    file = _env_file()
    try:
        return Settings(_env_file=file, **overrides)
    except UnicodeDecodeError:
        raise SettingError(_not_utf_8(file)) from None
    except ValidationError as error:
        raise SettingError(_sentences(error)) from None  # the cause would repeat the values


def load_database_url() -> SecretStr:
    """Read SUPABASE_DB_URL from the environment, or from the nearest `.env`.

    Raises:
        SettingError: it is missing or malformed; the sentence never repeats it.
    """
    file = _env_file()
    try:
        return DatabaseSettings(_env_file=file).supabase_db_url
    except UnicodeDecodeError:
        raise SettingError(_not_utf_8(file)) from None
    except ValidationError as error:
        (fault,) = error.errors(include_input=False, include_url=False)
        raise SettingError(
            f"{DB_URL} {_what_is_wrong(fault)}. Set it in the environment or in a file .env: the "
            "project's dashboard shows it under Connect (session pooler, or direct connection)."
        ) from None


def renamed_settings() -> dict[str, str]:
    """Return the old names that are set, each with the name that replaces it."""
    file = _env_file()
    names = {name.upper() for name in (*os.environ, *(dotenv_values(file) if file else ()))}
    return {old: new for old, new in RENAMED.items() if old in names}


def settings_names() -> frozenset[str]:
    """Every environment variable that is read."""
    return frozenset(name.upper() for name in Settings.model_fields) | {
        LEGACY_KEY,
        DB_URL,
        *RENAMED,
    }


def _is_this_machine(host: str) -> bool:
    """Whether `host` is a loopback address, or a name that stands for one (RFC 6761, 6.3)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _env_file() -> str | None:
    return find_dotenv(usecwd=True) or None


def _not_utf_8(file: str | None) -> str:
    return f"{file} is not UTF-8 text. Save it again with that encoding."


def _sentences(error: ValidationError) -> str:
    """Say for each wrong setting its name, what is wrong, and where to set it."""
    faults = error.errors(include_input=False, include_url=False)
    wrong = [f"{str(fault['loc'][0]).upper()} {_what_is_wrong(fault)}" for fault in faults]
    where = "Set it in the environment or in a file .env"
    if any(fault["type"] == "missing" for fault in faults):
        where += (
            ": a Supabase project shows both in its API settings; `c3d-worker local --env-file "
            ".env` starts one on this machine and writes them"
        )
    return f"{'; '.join(wrong)}. {where}."


def _what_is_wrong(fault: ErrorDetails) -> str:
    kind = fault["type"]
    if kind == "missing":
        return "is not set"
    if kind in NUMBERS:
        return f"is wrong: must be {NUMBERS[kind]}"
    return f"is wrong: {fault['msg'].removeprefix('Value error, ')}"
