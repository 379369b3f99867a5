"""Settings are read once, and a wrong one is named in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import SettingError
from worker.settings import RENAMED, load_settings, renamed_settings, settings_names

URL = "https://example.supabase.co"
SECRET = "sb_secret_planted_by_a_test"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the machine's own settings."""
    for name in settings_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", URL)
    monkeypatch.setenv("SUPABASE_SECRET_KEY", SECRET)


def test_missing_settings_are_named_together_with_their_cure() -> None:
    with pytest.raises(SettingError) as caught:
        load_settings()
    assert "SUPABASE_URL is not set" in str(caught.value)
    assert "SUPABASE_SECRET_KEY is not set" in str(caught.value)
    assert "c3d-worker local --env-file .env" in str(caught.value)


def test_a_dot_env_file_is_found_from_a_folder_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(f"SUPABASE_URL={URL}/\nSUPABASE_SECRET_KEY={SECRET}\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert load_settings().supabase_url == URL


@pytest.mark.usefixtures("complete")
def test_the_environment_outranks_the_dot_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("CONCURRENCY=2\n")
    assert load_settings().concurrency == 2
    monkeypatch.setenv("CONCURRENCY", "3")
    assert load_settings().concurrency == 3


@pytest.mark.usefixtures("complete")
def test_an_empty_line_of_the_example_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCURRENCY", "")
    assert load_settings().concurrency == 4


def test_the_legacy_key_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", URL)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", SECRET)
    assert load_settings().supabase_secret_key.get_secret_value() == SECRET


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUPABASE_URL", "example.supabase.co"),
        ("SUPABASE_URL", "https://example.supabase.co/rest/v1"),
        ("SUPABASE_URL", "https://YOUR-PROJECT.supabase.co"),
        ("SUPABASE_URL", "http://localhost:99999"),
        ("SUPABASE_URL", "http://localhost:9x"),
        ("SUPABASE_URL", "http://user:secret@localhost"),
        ("SUPABASE_SECRET_KEY", "   "),
        ("SUPABASE_SECRET_KEY", "“sb_secret_x”"),
        ("SUPABASE_SECRET_KEY", '"sb_secret_x"'),
        ("CONCURRENCY", "lots"),
        ("CONCURRENCY", "0"),
        ("LEASE_SECONDS", "-1"),
        ("LOG_FORMAT", "xml"),
        ("C3D_BUCKET", " "),
        ("WEBHOOK_SECRET", "not-signing"),
        ("WEBHOOK_SECRET", "whsec_no base64"),
        ("WEBHOOK_SECRET", "whsec_dG9vIHNob3J0"),
        ("HTTP_PORT", "65536"),
        ("PATIENT_ID_PATTERN", "(P"),
        ("PATIENT_ID_PATTERN", "(P)(Q)"),
        ("OTHER_FILES", "keep"),
    ],
)
def test_a_malformed_setting_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=f"{name} is wrong"):
        load_settings()


@pytest.mark.usefixtures("complete")
def test_no_error_and_no_representation_repeats_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SECRET not in repr(load_settings())
    monkeypatch.setenv("CONCURRENCY", "lots")
    with pytest.raises(SettingError) as caught:
        load_settings()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_dot_env_file_of_another_encoding_is_one_sentence(tmp_path: Path, encoding: str) -> None:
    (tmp_path / ".env").write_text("C3D_BUCKET=Ärzte\n", encoding=encoding)
    with pytest.raises(SettingError, match="not UTF-8 text"):
        load_settings()


@pytest.mark.usefixtures("complete")
def test_a_value_that_is_not_a_number_is_named_in_plain_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PORT", "eighty")
    with pytest.raises(SettingError, match="HTTP_PORT is wrong: must be a whole number"):
        load_settings()


def test_the_example_names_every_setting() -> None:
    example = Path(__file__).parents[2] / ".env.example"
    text = example.read_text(encoding="utf-8")
    assert [name for name in settings_names() - set(RENAMED) if name not in text] == []


@pytest.mark.usefixtures("complete")
def test_an_old_name_is_still_read_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_SECONDS", "7")
    (tmp_path / ".env").write_text("DRAIN_SECONDS=8\n")
    settings = load_settings()
    assert (settings.poll_seconds, settings.shutdown_timeout_seconds) == (7, 8)
    assert renamed_settings() == {
        "SWEEP_SECONDS": "POLL_SECONDS",
        "DRAIN_SECONDS": "SHUTDOWN_TIMEOUT_SECONDS",
    }


@pytest.mark.usefixtures("complete")
def test_the_new_name_outranks_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_SECONDS", "7")
    monkeypatch.setenv("POLL_SECONDS", "9")
    assert load_settings().poll_seconds == 9


@pytest.mark.parametrize(
    "url",
    [
        "http://example.supabase.co",
        "http://192.168.0.7:54321",
        "http://kong:8000",
        "http://localhost.example.org",
        "http://[2001:db8::1]",
    ],
)
@pytest.mark.usefixtures("complete")
def test_http_to_another_machine_sends_the_key_in_clear(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", url)
    assert load_settings().sends_in_clear


@pytest.mark.parametrize(
    "url",
    [
        "https://example.supabase.co",
        "https://192.168.0.7:8443",
        "http://LOCALHOST:54321",
        "http://kong.localhost",
        "http://127.0.0.1:54321",
        "http://127.3.2.1",
        "http://[::1]:54321",
    ],
)
@pytest.mark.usefixtures("complete")
def test_https_and_this_machine_itself_send_nothing_in_clear(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", url)
    assert not load_settings().sends_in_clear
