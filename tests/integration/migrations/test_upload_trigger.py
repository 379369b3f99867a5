"""The trigger on storage.objects: it signs and announces uploads, and never stops one."""

from __future__ import annotations

import json
import logging
from typing import Any
from uuid import uuid4

import pytest
from standardwebhooks.webhooks import Webhook

from tests.conftest import CreateDatabase
from tests.integration.databases import connected, execute, rows
from tests.integration.migrating import apply
from tests.integration.webhooks import SECRET
from worker.local.postgres import SUPERUSER, as_role

URL = "https://worker.example.org/webhooks/storage"
SWITCHED_ON = f"""
select vault.create_secret('{URL}', 'c3d_webhook_url');
select vault.create_secret('{SECRET}', 'c3d_webhook_secret');
"""
HTTP_POST = """
drop function net.http_post(text, jsonb, jsonb, jsonb, integer);
create function net.http_post(
  url text, body jsonb, params jsonb, headers jsonb, timeout_milliseconds integer
) returns bigint language plpgsql as $$ begin {0} end $$
"""
BROKEN = {
    "the function raises": """
      create or replace function public.send_upload_webhook(
        kind text, uploaded jsonb, replaced jsonb
      ) returns void language plpgsql as $$ begin raise exception 'broken on purpose'; end $$""",
    "the function is gone": "drop function public.send_upload_webhook(text, jsonb, jsonb)",
    "pg_net raises": HTTP_POST.format("raise exception 'broken on purpose';"),
    "pg_net is canceled": HTTP_POST.format("raise exception sqlstate '57014';"),
    "pg_net asserts": HTTP_POST.format("assert false;"),
    "the queue is gone": "drop table net.http_request_queue",
    "Vault is closed": "revoke usage on schema vault from postgres",
    "pg_net is closed": "revoke usage on schema net from postgres",
    "Vault is another": "alter table vault.secrets drop column name cascade",
    "the secret is no base64": """
      update vault.secrets set name = 'an old one' where name = 'c3d_webhook_secret';
      select vault.create_secret('whsec_no base64!', 'c3d_webhook_secret')""",
}
INSERT = """
insert into storage.objects (bucket_id, name, version, metadata, user_metadata)
values ($1, $2, $3, $4, $5)
"""


async def upload(url: str, name: str = "P005/a.c3d", **others: Any) -> None:
    """Write an object's row as Storage does, in its role."""
    values = {"bucket": "c3d-files", "version": str(uuid4()), "size": 1_000_000, **others}
    async with connected(as_role(url, "supabase_storage_admin")) as storage:
        await storage.execute(
            INSERT,
            values["bucket"],
            name,
            values["version"],
            json.dumps({"size": values["size"], "mimetype": "application/octet-stream"}),
            json.dumps({"note": "x" * 100_000}),
        )


async def queue(url: str) -> list[dict[str, Any]]:
    """What pg_net would send."""
    return await rows(url, "select * from net.http_request_queue order by id")


async def objects(url: str) -> int:
    """How many objects there are."""
    (row,) = await rows(url, "select count(*) as number from storage.objects")
    return int(row["number"])


async def test_an_upload_is_announced_signed_byte_for_byte(migrated_database: str) -> None:
    await execute(migrated_database, SWITCHED_ON)
    await upload(migrated_database, 'P005/ä "quoted".C3D', version="v1")
    (sent,) = await queue(migrated_database)
    assert (sent["method"], sent["url"]) == ("POST", URL)
    headers = json.loads(sent["headers"])
    assert headers["Content-Type"] == "application/json"
    assert headers["webhook-id"].startswith("msg_")
    body = Webhook(SECRET).verify(sent["body"], headers)
    assert (body["type"], body["schema"], body["table"]) == ("INSERT", "storage", "objects")
    assert body["record"]["name"] == 'P005/ä "quoted".C3D'
    assert (body["record"]["version"], body["old_record"]) == ("v1", None)
    assert len(sent["body"]) < 2_000  # what people attach to an object stays behind
    assert SECRET not in sent["body"].decode() + sent["headers"]


async def test_an_overwrite_is_announced_and_another_change_is_not(migrated_database: str) -> None:
    await execute(migrated_database, SWITCHED_ON)
    await upload(migrated_database, version="v1")
    await execute(
        migrated_database,
        "update storage.objects set last_accessed_at = now();"
        "update storage.objects set version = 'v1';"
        "update storage.objects set version = 'v2'",
    )
    first, second = [json.loads(sent["body"]) for sent in await queue(migrated_database)]
    assert (first["type"], second["type"]) == ("INSERT", "UPDATE")
    assert (second["record"]["version"], second["old_record"]["version"]) == ("v2", "v1")


async def test_nobody_hears_of_other_files_and_buckets(migrated_database: str) -> None:
    await execute(
        migrated_database,
        SWITCHED_ON + "insert into storage.buckets (id, name) values ('avatars', 'avatars')",
    )
    await upload(migrated_database, "P005/notes.txt")
    await upload(migrated_database, bucket="avatars")
    assert await queue(migrated_database) == []
    assert await objects(migrated_database) == 2


async def test_the_answer_is_waited_for_five_seconds(migrated_database: str) -> None:
    await execute(migrated_database, SWITCHED_ON)
    await upload(migrated_database)
    (sent,) = await queue(migrated_database)
    assert sent["timeout_milliseconds"] == 5_000


@pytest.mark.parametrize(
    "absent",
    [
        "delete from vault.secrets where name = 'c3d_webhook_url'",
        "delete from vault.secrets where name = 'c3d_webhook_secret'",
        "drop schema vault cascade",
        "drop schema net cascade",
        "drop extension pgcrypto cascade",
    ],
)
async def test_where_something_is_absent_it_is_silent(migrated_database: str, absent: str) -> None:
    await execute(migrated_database, SWITCHED_ON)
    await execute(as_role(migrated_database, SUPERUSER), absent)
    warned: list[str] = []
    async with connected(as_role(migrated_database, "supabase_storage_admin")) as storage:
        storage.add_log_listener(lambda _, message: warned.append(str(message)))
        await storage.execute(INSERT, "c3d-files", "a.c3d", "1", None, None)
    assert await objects(migrated_database) == 1
    assert warned == []


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_an_upload_succeeds_whatever_is_broken(migrated_database: str, broken: str) -> None:
    await execute(migrated_database, SWITCHED_ON)
    await execute(as_role(migrated_database, SUPERUSER), broken)
    await upload(migrated_database)
    assert await objects(migrated_database) == 1


async def test_an_upload_waits_for_no_lock_of_pg_net(migrated_database: str) -> None:
    await execute(migrated_database, SWITCHED_ON)
    async with connected(as_role(migrated_database, SUPERUSER)) as other, other.transaction():
        await other.execute("lock table net.http_request_queue")
        await upload(migrated_database)
        assert await objects(migrated_database) == 1


async def test_a_warning_says_a_code_and_no_secret(
    migrated_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await execute(
        migrated_database,
        "select vault.create_secret('http://x', 'c3d_webhook_url');"
        "select vault.create_secret('whsec_!!planted', 'c3d_webhook_secret')",
    )
    warned: list[Any] = []
    async with connected(as_role(migrated_database, "supabase_storage_admin")) as storage:
        storage.add_log_listener(lambda _, message: warned.append(message))
        await storage.execute(INSERT, "c3d-files", "a.c3d", "1", None, None)
    (warning,) = [str(message) for message in warned if "announce_upload" in str(message)]
    assert "22023" in warning
    assert "planted" not in warning
    assert "!!" not in warning


async def test_pgcrypto_may_live_in_public(migrated_database: str) -> None:
    await execute(migrated_database, SWITCHED_ON)
    await execute(
        as_role(migrated_database, SUPERUSER), "alter extension pgcrypto set schema public"
    )
    await upload(migrated_database)
    (sent,) = await queue(migrated_database)
    Webhook(SECRET).verify(sent["body"], json.loads(sent["headers"]))


async def test_a_database_without_storage_takes_the_migrations(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await execute(
        as_role(url, SUPERUSER),
        "drop schema storage, net, vault cascade; drop extension pgcrypto cascade",
    )
    await apply(url)
    await apply(url)
    found = await rows(url, "select * from pg_trigger where tgname = 'announce_upload'")
    assert found == []


async def test_uploads_are_announced_and_claimed_on_postgresql_15(
    blank_database_15: CreateDatabase,
) -> None:
    url = await blank_database_15()
    await apply(url)
    await apply(url)
    await execute(url, SWITCHED_ON)
    await upload(url)
    (sent,) = await queue(url)
    Webhook(SECRET).verify(sent["body"], json.loads(sent["headers"]))
    async with connected(url, role="service_role") as database:
        await database.fetch("select * from announce_objects('c3d-files')")
        claim = "select * from claim_objects(gen_random_uuid(), 'c3d-files', 10, 60)"
        assert [row["object_path"] for row in await database.fetch(claim)] == ["P005/a.c3d"]
        assert await database.fetch(claim) == []
