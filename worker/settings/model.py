"""Every setting: its name, its default and its bounds."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.settings.values import (
    database_url,
    is_this_machine,
    pattern,
    plain_key,
    project_url,
    signing_secret,
)

DEFAULT_BUCKET = "c3d-files"  # the one that the migrations create
LEGACY_KEY = "SUPABASE_SERVICE_ROLE_KEY"
MEGABYTE = 1_000_000  # bytes


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

    supabase_url: Annotated[str, AfterValidator(project_url)]
    """The project's address, such as https://YOUR-PROJECT.supabase.co."""

    supabase_secret_key: Annotated[SecretStr, AfterValidator(plain_key)] = Field(
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
    256 KiB only: no hash is compared and there are no statistics; the session says so. A fresh
    upload is at hand, and read whole in either mode."""

    max_file_mb: int = Field(512, ge=1, le=2147)
    """Recordings of more million bytes are failed as `file_too_large`, not downloaded."""

    held_mb: int = Field(512, ge=0, le=1_000_000)
    """Million bytes of fresh uploads that stay in the temporary folder until their sessions are
    read, so that they leave Storage once; what is beyond leaves it twice. 0: all do."""

    held_seconds: float = Field(60, ge=1, le=3600)
    """How long the bytes of an upload stay there at most."""

    extract_seconds: float = Field(30, ge=1, le=3600)
    """A recording that takes longer to read is failed as `c3d_too_costly`."""

    extract_mb: int = Field(512, ge=64, le=65536)
    """A recording that takes more memory to read is failed as `c3d_too_costly`."""

    previews: Literal["on", "off"] = "on"
    """Whether each session that is completed gets a picture in the bucket c3d-previews."""

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

    webhook_secret: Annotated[SecretStr, AfterValidator(signing_secret)] | None = None
    """Signs the uploads' webhooks (`whsec_…`). Without it none is served, and none is needed:
    uploads announce themselves over Realtime."""

    patient_id_pattern: Annotated[str, AfterValidator(pattern)] = "^(P[0-9]+)/"
    """Finds the patient's code in an object's path: the group, or the whole match without one."""

    other_files: Literal["ignore", "skip"] = "ignore"
    """What another object than a `.c3d` file gets: nothing, or a session of status `skipped`."""

    log_format: Literal["console", "json"] = "console"
    """`console` for people, `json` for log collectors: one object a line."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe events that are logged."""

    @property
    def max_file_bytes(self) -> int:
        """MAX_FILE_MB in bytes."""
        return self.max_file_mb * MEGABYTE

    @property
    def draws(self) -> bool:
        """Whether PREVIEWS is on."""
        return self.previews == "on"

    @property
    def held_bytes(self) -> int:
        """HELD_MB in bytes."""
        return self.held_mb * MEGABYTE

    @property
    def sends_in_clear(self) -> bool:
        """Whether the key and the recordings travel to another machine without encryption."""
        parts = urlsplit(self.supabase_url)
        return parts.scheme == "http" and not is_this_machine(parts.hostname or "")


class DatabaseSettings(BaseSettings):
    """What a dry run of the migrations needs. The worker itself never connects to PostgreSQL."""

    model_config = Settings.model_config

    supabase_db_url: Annotated[SecretStr, AfterValidator(database_url)]
    """The database's own address with its password, as the dashboard shows it under Connect."""
