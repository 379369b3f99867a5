"""The local stack starts once or not at all, keeps what it was given, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.conftest import PROJECT, CreateDatabase, RunningStack
from worker.errors import StackError
from worker.local.packages import Packages
from worker.local.postgres import SUPERUSER, as_role
from worker.local.stack import Ports, StackInfo, configured_ports, local_stack
from worker.local.supabase_cli import push, run_cli

CONFIG = "[api]\nport = 1234\n[db]\nport = 2345\n"
NO_PORTS = Ports(api=0, database=0)


def headers(info: StackInfo) -> dict[str, str]:
    return {"apikey": info.secret_key, "Authorization": f"Bearer {info.secret_key}"}


def upload(info: StackInfo, content: bytes) -> None:
    url = f"{info.url}/storage/v1"
    httpx.post(f"{url}/bucket", headers=headers(info), json={"name": "kept"}).raise_for_status()
    httpx.post(
        f"{url}/object/kept/a.c3d", headers=headers(info), content=content
    ).raise_for_status()


def download(info: StackInfo) -> bytes:
    url = f"{info.url}/storage/v1/object/kept/a.c3d"
    return httpx.get(url, headers=headers(info)).raise_for_status().content


def project(directory: Path, **migrations: str) -> Path:
    (directory / "supabase" / "migrations").mkdir(parents=True)
    (directory / "supabase" / "config.toml").write_text(CONFIG)
    for number, (name, sql) in enumerate(migrations.items(), 1):
        file = directory / "supabase" / "migrations" / f"2026010100000{number}_{name}.sql"
        file.write_text(sql)
    return directory


def test_a_second_start_keeps_rows_and_objects_even_after_sigkill(tmp_path: Path) -> None:
    first = RunningStack(tmp_path / "data")
    upload(first.info, b"bytes")
    first.end(signal.SIGKILL)

    second = RunningStack(tmp_path / "data")
    assert download(second.info) == b"bytes"
    second.end(signal.SIGTERM)

    third = RunningStack(tmp_path / "data")
    assert download(third.info) == b"bytes"
    assert third.end(signal.SIGINT) == ""
    assert third.process.returncode == 0


def test_a_start_is_not_stopped_by_the_process_number_of_a_dead_postgres(tmp_path: Path) -> None:
    RunningStack(tmp_path / "data").end(signal.SIGKILL)
    pid_file = tmp_path / "data" / "postgres" / "postmaster.pid"
    pid_file.write_text(f"1\n{pid_file.parent}\n")  # process 1 always lives
    assert RunningStack(tmp_path / "data").end() == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_without_user_namespaces_runs_postgres_as_nobody(tmp_path: Path) -> None:
    private, programs = tmp_path / "private", tmp_path / "programs"
    private.mkdir(mode=0o700)
    programs.mkdir()
    for name in ("setpriv", "sh"):
        (programs / name).symlink_to(shutil.which(name) or "")
    running = RunningStack(private / "data", search_path=str(programs))
    assert running.postmaster().username() == "nobody"
    upload(running.info, b"bytes")
    running.end(signal.SIGKILL)

    again = RunningStack(private / "data")  # where namespaces are to be had
    assert download(again.info) == b"bytes"
    assert again.end() == ""


def test_a_second_stack_on_the_same_data_is_refused_in_a_sentence(
    running_stack: RunningStack, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "worker.local", str(running_stack.data), str(tmp_path / "env")]
    refused = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("A local stack is already running on ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("taken", ["API", "database"])
async def test_a_taken_port_is_named(tmp_path: Path, taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        wanted = Ports(api=port, database=0) if taken == "API" else Ports(api=0, database=port)
        with pytest.raises(StackError, match=f"Port {port}, meant for the {taken}"):
            async with local_stack(tmp_path, wanted, print):
                pass


async def test_a_postgres_that_dies_is_started_again(
    running_stack: RunningStack, stack: StackInfo
) -> None:
    before = running_stack.postmaster()
    before.kill()
    async with asyncio.timeout(10), httpx.AsyncClient() as http:
        while True:
            answer = await http.get(f"{stack.url}/storage/v1/bucket", headers=headers(stack))
            if answer.is_success and not before.is_running():
                break
            assert answer.status_code in {200, 500, 544}
            await asyncio.sleep(0.05)


async def test_new_tables_and_their_rows_are_readable_by_nobody_without_grants(
    stack: StackInfo,
) -> None:
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute("create table ungranted (id bigint primary key)")
    async with httpx.AsyncClient(base_url=stack.url) as http:
        for key in (stack.publishable_key, stack.secret_key, stack.anon_jwt):
            await until_known(http, key)
            answer = await http.get("/rest/v1/ungranted", headers={"apikey": key})
            assert answer.json()["code"] == "42501"
    await connection.execute("drop table ungranted")
    await connection.close()


async def until_known(http: httpx.AsyncClient, key: str) -> None:
    async with asyncio.timeout(5):
        while (await http.get("/rest/v1/ungranted", headers={"apikey": key})).status_code == 404:
            await asyncio.sleep(0.02)


async def test_a_request_without_a_valid_key_gets_the_platforms_answer(stack: StackInfo) -> None:
    async with httpx.AsyncClient(base_url=stack.url) as http:
        for path in ("/rest/v1/anything", "/storage/v1/bucket"):
            answer = await http.get(path)
            assert answer.status_code == 401
            assert answer.json()["message"] == "No API key found in request"
            answer = await http.get(path, headers={"apikey": "sb_secret_of_somebody_else"})
            assert answer.status_code == 401
            assert answer.json()["message"] == "Invalid API key"
        bearer = {"Authorization": "Bearer no.jwt.atall"}
        assert (await http.get("/rest/v1/anything", headers=bearer)).json()["code"] == "PGRST301"
        assert (await http.get("/storage/v1/bucket", headers=bearer)).json()["statusCode"] == "403"


async def test_blank_databases_are_separate_and_shaped_like_supabase(
    blank_database: CreateDatabase,
) -> None:
    first, second = await blank_database(), await blank_database()
    connection = await asyncpg.connect(first)
    await connection.execute("insert into storage.buckets (id, name) values ('one', 'one')")
    await connection.execute("create table mine (id bigint)")
    assert await connection.fetchval("select current_user") == "postgres"
    assert not await connection.fetchval("select usesuper from pg_user where usename = user")
    for refused in (
        "create index on storage.objects (version)",
        "create function storage.mine() returns int language sql return 1",
        "comment on table storage.objects is 'mine'",
        "alter publication supabase_realtime add table storage.objects",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="must be owner"):
            await connection.execute(refused)
    await connection.close()
    connection = await asyncpg.connect(as_role(second, SUPERUSER))
    assert await connection.fetchval("select count(*) from storage.buckets") == 0
    assert await connection.fetchval("select count(*) from pg_publication_tables") == 0
    await connection.close()


async def test_a_trigger_and_policies_on_storage_objects_are_allowed_as_on_the_platform(
    blank_database: CreateDatabase,
) -> None:
    connection = await asyncpg.connect(await blank_database())
    await connection.execute("""
        create function noted() returns trigger language plpgsql as 'begin return new; end';
        create or replace trigger noted after insert on storage.objects
            for each row execute function noted();
        create policy readable on storage.objects for select to authenticated using (true);
        drop policy readable on storage.objects;
        insert into storage.buckets (id, name) values ('b', 'b') on conflict (id) do nothing;
    """)
    await connection.close()


async def test_postgres_15_is_shaped_like_supabase_too(blank_database_15: CreateDatabase) -> None:
    connection = await asyncpg.connect(await blank_database_15())
    assert connection.get_server_version().major == 15
    assert await connection.fetchval("select auth.role()") is None
    await connection.close()


async def test_the_cli_pushes_migrations_and_writes_into_no_directory(
    blank_database: CreateDatabase, packages: Packages, tmp_path: Path
) -> None:
    directory = project(tmp_path, note="create table note (id bigint primary key);")
    files = sorted(directory.rglob("*"))
    url = await blank_database()
    assert "note.sql" in await push(url, directory, packages)
    assert "up to date" in await push(url, directory, packages)
    assert sorted(directory.rglob("*")) == files


async def test_a_failing_migration_is_told_with_its_name_and_without_the_password(
    blank_database: CreateDatabase, packages: Packages, tmp_path: Path
) -> None:
    directory = project(tmp_path, wrong="select nonsense;")
    with pytest.raises(StackError, match=r"wrong\.sql.*\"nonsense\" does not exist") as told:
        await push(await blank_database(), directory, packages)
    assert "postgres:" not in str(told.value)


def test_the_ports_are_those_of_the_project(tmp_path: Path, packages: Packages) -> None:
    assert configured_ports(tmp_path) == Ports(api=54321, database=54322)
    assert configured_ports(project(tmp_path)) == Ports(api=1234, database=2345)
    (tmp_path / "supabase" / "config.toml").write_text("=")
    with pytest.raises(StackError, match="cannot be read"):
        configured_ports(tmp_path)
    assert run_cli(packages, ["--version"], tmp_path).returncode == 0
