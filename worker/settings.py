"""The settings: environment variables and a `.env` file, read once, passed on explicitly."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import find_dotenv
from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.errors import SettingError

DEFAULT_BUCKET = "c3d-files"  # the one that the migrations create
LEGACY_KEY = "SUPABASE_SERVICE_ROLE_KEY"


def _project_url(value: str) -> str:
    """Accept the address of a Supabase project, without a path, and drop a trailing slash."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must look like https://YOUR-PROJECT.supabase.co")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be the project's bare address, without a path")
    return value.rstrip("/")


def _not_blank(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().strip():
        raise ValueError("must not be empty: copy the secret key from the project's API settings")
    return SecretStr(value.get_secret_value().strip())


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

    supabase_secret_key: Annotated[SecretStr, AfterValidator(_not_blank)] = Field(
        validation_alias=AliasChoices("SUPABASE_SECRET_KEY", LEGACY_KEY)
    )
    """The secret key (`sb_secret_…`) or the legacy service_role key. It bypasses row security."""

    c3d_bucket: str = Field(DEFAULT_BUCKET, pattern=r"^\S+$")
    """The Storage bucket of the recordings."""

    concurrency: int = Field(4, ge=1, le=64)
    """Sessions in hand at once. More hides slow downloads, and costs memory."""

    lease_seconds: int = Field(60, ge=5, le=3600)
    """How long a claim holds unless extended: a killed worker's sessions wait this long."""

    max_attempts: int = Field(5, ge=1, le=100)
    """Tries before a session whose trouble is its own ends as `failed`."""

    sweep_seconds: float = Field(30, ge=1, le=3600)
    """How often the table is read whatever Realtime says: the longest a lost event delays."""

    max_file_mb: int = Field(512, ge=1, le=2147)
    """Recordings of more million bytes are failed as `file_too_large`, not downloaded."""

    extract_seconds: float = Field(30, ge=1, le=3600)
    """A recording that takes longer to read is failed as `c3d_too_costly`."""

    extract_mb: int = Field(512, ge=64, le=65536)
    """A recording that takes more memory to read is failed as `c3d_too_costly`."""

    drain_seconds: float = Field(20, ge=0, le=3600)
    """How long a stopping worker may go on with the sessions in hand before it releases them."""

    log_format: Literal["console", "json"] = "console"
    """`console` for people, `json` for log collectors: one object a line."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe events that are logged."""


def load_settings(**overrides: Any) -> Settings:
    """Read the environment, then the nearest `.env` at or above the working directory.

    Raises:
        SettingError: a setting is missing or malformed; the sentence names it and its cure.
    """
    try:
        return Settings(_env_file=find_dotenv(usecwd=True) or None, **overrides)
    except ValidationError as error:
        raise SettingError(_sentences(error)) from None  # the cause would repeat the values


def settings_names() -> frozenset[str]:
    """Every environment variable that is read."""
    return frozenset(name.upper() for name in Settings.model_fields) | {LEGACY_KEY}


def _sentences(error: ValidationError) -> str:
    """Say for each wrong setting its name, what is wrong, and where to set it."""
    wrong = []
    for fault in error.errors(include_input=False, include_url=False):
        name = str(fault["loc"][0]).upper()
        reason = fault["msg"].removeprefix("Value error, ")
        wrong.append(
            f"{name} is not set" if fault["type"] == "missing" else f"{name} is wrong: {reason}"
        )
    return "; ".join(wrong) + ". Set it in the environment or in .env (see .env.example)."
