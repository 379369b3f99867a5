"""The dry run finds the database of the project that `supabase link` has chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import SettingError
from worker.settings import load_database_url, settings_names

POOLER = "postgresql://postgres.abcdefgh@aws-0-eu-central-1.pooler.supabase.com"


@pytest.fixture(autouse=True)
def linked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stand in a folder below one that is linked, without settings."""
    for name in settings_names():
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "supabase/.temp/pooler-url"
    file.parent.mkdir(parents=True)
    file.write_text(f"{POOLER}:6543/postgres\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")


def test_its_password_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_DB_PASSWORD", "a/b@c")
    url = load_database_url().get_secret_value()
    login, _, place = url.partition("@")
    assert login == "postgresql://postgres.abcdefgh:a%2Fb%40c"
    # In session mode, and encrypted.
    assert place == "aws-0-eu-central-1.pooler.supabase.com:5432/postgres?sslmode=require"


def test_a_url_goes_before_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUPABASE_DB_PASSWORD", "secret")
    (tmp_path / ".env").write_text("SUPABASE_DB_URL=postgresql://me:x@localhost/postgres\n")
    assert load_database_url().get_secret_value() == "postgresql://me:x@localhost/postgres"


def test_without_its_password_the_sentence_names_it() -> None:
    with pytest.raises(SettingError) as caught:
        load_database_url()
    assert "SUPABASE_DB_PASSWORD" in str(caught.value)


def test_a_file_that_is_no_url_is_as_if_there_were_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SUPABASE_DB_PASSWORD", "secret")
    (tmp_path / "supabase/.temp/pooler-url").write_text("postgresql://[::1/postgres")
    with pytest.raises(SettingError, match="SUPABASE_DB_URL is not set"):
        load_database_url()
