"""`c3d-worker check` finds what is wrong with an installation, and names each cure."""

from __future__ import annotations

import json
import socket
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from tests.integration.checking import found_in, verdicts
from tests.integration.command_line import command
from tests.integration.databases import rows
from worker.check.findings import Check, Verdict
from worker.check.key import claims
from worker.local import keys
from worker.local.stack import StackInfo

NAME = "supabase.example.org"  # of another machine, which this one plays

# --- a good installation ----------------------------------------------------------------------


async def test_a_good_installation_has_nothing_to_cure(
    own_stack: StackInfo, tmp_path: Path
) -> None:
    code, printed, complained = await command(own_stack, tmp_path, "check", MAX_FILE_MB="1")
    assert (code, complained) == (0, "")
    assert [line[0] for line in printed.splitlines()] == list("✓✓✓✓✓✓✓✓✓✓✓–✓✓")  # noqa: RUF001
    assert "none, and no worker needs one" in printed


async def test_good_and_bad_differ_where_the_output_has_only_ascii(
    own_stack: StackInfo, tmp_path: Path
) -> None:
    plain = {"PYTHONIOENCODING": "ascii", "MAX_FILE_MB": "1"}
    _, printed, _ = await command(own_stack, tmp_path, "check", **plain)
    assert [line[0] for line in printed.splitlines()] == list("+++++++++++-++")
    plain["SUPABASE_URL"] = "http://127.0.0.1:1"
    _, printed, _ = await command(own_stack, tmp_path, "check", **plain)
    assert printed.startswith("x")


async def test_json_holds_every_finding(own_stack: StackInfo, tmp_path: Path) -> None:
    code, printed, _ = await command(own_stack, tmp_path, "check", "--json", MAX_FILE_MB="1")
    said = json.loads(printed)
    assert (code, said["ok"]) == (0, True)
    assert [line["check"] for line in said["checks"]] == list(Check)
    assert said["checks"][0] == {
        "check": "URL",
        "verdict": "ok",
        "said": f"{own_stack.url} answers.",
        "cure": "",
    }


async def test_checking_changes_nothing(own_stack: StackInfo) -> None:
    counts = """
      select
        (select count(*) from therapy_sessions), (select count(*) from c3d_technical_data),
        (select count(*) from storage_intake), (select count(*) from set_aside)
    """
    before = await rows(own_stack.database_url, counts)
    await found_in(own_stack)
    assert await rows(own_stack.database_url, counts) == before


# --- the way there ----------------------------------------------------------------------------


async def test_http_to_another_machine_is_a_warning(
    own_stack: StackInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def resolve_here(host: Any, *others: Any, **named: Any) -> Any:
        return resolve("127.0.0.1" if host in {NAME, NAME.encode()} else host, *others, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    port = urlsplit(own_stack.url).port
    found = await found_in(own_stack, supabase_url=f"http://{NAME}:{port}")
    assert verdicts(found) == {Check.URL: Verdict.WARNING}
    (finding,) = found[Check.URL]
    assert "not encrypted" in finding.said
    assert "https" in finding.cure


async def test_an_unreachable_url_leaves_the_rest_unchecked(
    own_stack: StackInfo, tmp_path: Path
) -> None:
    found = await found_in(own_stack, supabase_url="http://127.0.0.1:1")
    (url,) = found[Check.URL]
    assert url.verdict is Verdict.BAD
    assert "SUPABASE_URL" in url.cure
    assert set(verdicts(found).values()) == {Verdict.BAD, Verdict.UNCHECKED}
    code, printed, _ = await command(
        own_stack, tmp_path, "check", SUPABASE_URL="http://127.0.0.1:1", MAX_FILE_MB="1"
    )
    assert code == 1
    assert printed.splitlines()[0].startswith("✗")
    assert printed.count("not checked") == len(Check) - 2


async def test_an_address_that_is_not_a_project(own_stack: StackInfo) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    application = web.Application()
    application.router.add_get("/{path:.*}", page)
    async with TestServer(application) as server:
        found = await found_in(own_stack, supabase_url=str(server.make_url("")).rstrip("/"))
    (url,) = found[Check.URL]
    assert url.said == "What answers there is no Supabase project (HTTP 200)."
    assert found[Check.KEY][0].verdict is Verdict.UNCHECKED


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("sb_secret_of_another_project", "Supabase refused the key (HTTP 401"),
        ("nonsense", "Supabase refused the key (HTTP 401"),
        (keys.PUBLISHABLE_KEY, "It is the publishable key"),
        ("sb_publishable_of_another_project", "It is the publishable key"),
        (keys.ANON_JWT, "It is the legacy anon key"),
        (keys.sign({"role": "authenticated"}, 60), "It speaks for the role 'authenticated'"),
        (keys.sign({"role": "service_role", "ref": "abcdefgh"}, -60), "the project 'abcdefgh'"),
    ],
)
async def test_a_wrong_key_is_told_by_its_form(own_stack: StackInfo, key: str, said: str) -> None:
    found = await found_in(own_stack, supabase_secret_key=SecretStr(key))
    (line,) = found[Check.KEY]
    assert (line.verdict, found[Check.URL][0].verdict) == (Verdict.BAD, Verdict.GOOD)
    assert said in line.said
    assert "SUPABASE_SECRET_KEY" in line.cure
    assert key not in line.said
    assert found[Check.SCHEMA][0].verdict is Verdict.UNCHECKED


async def test_the_legacy_key_is_a_good_one(own_stack: StackInfo) -> None:
    found = await found_in(own_stack, supabase_secret_key=SecretStr(keys.SERVICE_ROLE_JWT))
    assert verdicts(found) == {}
    assert found[Check.KEY][0].said == "The legacy service_role key."


@pytest.mark.parametrize(
    "key", ["", "a.b.c", "a.!.c", "a.W10.c", "a.eyJyb2xlIjoxfQ.c.d", "a.//8.c"]
)
def test_a_key_that_is_not_a_jwt_claims_nothing(key: str) -> None:
    assert claims(key) == {}


# --- the machine ------------------------------------------------------------------------------


async def test_a_disk_too_small_for_what_is_processed_at_once(own_stack: StackInfo) -> None:
    found = await found_in(own_stack, concurrency=64, max_file_mb=2147)
    (line,) = found[Check.FOLDER]
    if line.verdict is Verdict.GOOD:
        pytest.skip("this disk takes anything")
    assert line.verdict is Verdict.WARNING
    assert "MAX_FILE_MB" in line.cure


async def test_a_folder_that_takes_no_file(
    own_stack: StackInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    found = await found_in(own_stack)
    assert verdicts(found) == {Check.FOLDER: Verdict.BAD}
    assert "TMPDIR" in found[Check.FOLDER][0].cure


async def test_a_tmpdir_that_is_not_there_is_told(own_stack: StackInfo, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    code, printed, _ = await command(own_stack, tmp_path, "check", TMPDIR=nowhere, MAX_FILE_MB="1")
    assert code == 0
    assert "!  temporary folder" in printed
    assert "correct TMPDIR" in " ".join(printed.split())
