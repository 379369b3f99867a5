"""The Realtime stand-in speaks the protocol as recorded from real servers, faults included."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio
import websockets
from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent
from realtime.types import RealtimeChannelBroadcastConfig

from tests.conftest import RunningStack
from tests.integration.databases import execute
from tests.integration.local.phoenix import BOUNDED, SYSTEM_OK, Client, Message, connected
from worker.local import keys
from worker.local.stack import StackInfo

Database: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def tables(stack: StackInfo) -> AsyncIterator[None]:
    await execute(
        stack.database_url,
        """
        create table heard (
          id bigint primary key, body text, owner uuid,
          happened_at timestamptz default '2026-11-23 18:07:48.893+00'
        );
        alter table heard enable row level security;
        grant select on heard to service_role, authenticated;
        create policy own_rows on heard for select to authenticated using (owner = auth.uid());
        alter publication supabase_realtime add table heard;
        create table unheard (id bigint primary key);
        """,
    )
    yield
    await execute(stack.database_url, "drop table heard, unheard")


@pytest.fixture
async def client(stack: StackInfo) -> AsyncIterator[Client]:
    async with connected(stack) as client:
        yield client


@pytest.fixture
async def database(stack: StackInfo) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute("truncate heard")
    yield connection
    await connection.close()


async def test_a_join_is_answered_as_recorded(client: Client) -> None:
    reply = await client.join(event="INSERT")
    (binding,) = reply["payload"]["response"]["postgres_changes"]
    assert binding.pop("id") > 0
    assert binding == {"event": "INSERT", "schema": "public", "table": "heard"}
    assert (reply["event"], reply["topic"], reply["ref"]) == ("phx_reply", "realtime:t", "7")
    assert await client.hear() == {
        "topic": "realtime:t",
        "event": "system",
        "ref": None,
        "payload": {
            "channel": "t",
            "extension": "postgres_changes",
            "status": "ok",
            "message": SYSTEM_OK,
        },
    }


async def test_heartbeat_leave_and_strangers_are_answered(client: Client) -> None:
    await client.say("heartbeat", topic="phoenix")
    assert (await client.hear())["payload"] == {"status": "ok", "response": {}}
    await client.say("broadcast")
    assert (await client.hear())["payload"]["response"] == {"reason": "unmatched topic"}
    await client.subscribe()
    await client.say("phx_leave")
    assert [(await client.hear())["event"] for _ in range(2)] == ["phx_reply", "phx_close"]


async def test_a_rejoin_closes_the_channel_before_it(client: Client) -> None:
    await client.subscribe()
    assert (await client.join())["event"] == "phx_close"
    assert [(await client.hear())["event"] for _ in range(2)] == ["phx_reply", "system"]


async def test_insert_update_and_delete_arrive(client: Client, database: Database) -> None:
    await client.subscribe()
    await database.execute("insert into heard (id, body) values (1, 'one')")
    await database.execute("update heard set body = 'two'")
    await database.execute("delete from heard")
    messages = [await client.hear() for _ in range(3)]
    assert all(message["ref"] is None for message in messages)
    inserted, updated, deleted = (message["payload"]["data"] for message in messages)
    assert inserted["type"] == "INSERT"
    assert inserted["errors"] is None
    assert inserted["commit_timestamp"].endswith("Z")
    assert inserted["columns"][0] == {"name": "id", "type": "int8"}
    assert inserted["record"] == {
        "id": 1,
        "body": "one",
        "owner": None,
        "happened_at": "2026-11-23T18:07:48.893+00:00",
    }
    assert updated["record"]["body"] == "two"
    assert updated["old_record"] == deleted["old_record"] == {"id": 1}
    assert "record" not in deleted


async def test_five_hundred_rows_of_one_statement_arrive(
    client: Client, database: Database
) -> None:
    await client.subscribe(event="INSERT")
    await database.execute("insert into heard (id) select * from generate_series(1, 500)")
    ids = [(await client.hear())["payload"]["data"]["record"]["id"] for _ in range(500)]
    assert ids == list(range(1, 501))


async def test_a_record_over_one_mebibyte_comes_without_its_large_values(
    client: Client, database: Database
) -> None:
    await client.subscribe(event="INSERT")
    await database.execute("insert into heard (id, body) values (1, repeat('x', 1024 * 1024))")
    data = (await client.hear())["payload"]["data"]
    assert data["errors"] == ["Error 413: Payload Too Large"]
    assert data["record"]["id"] == 1
    assert "body" not in data["record"]


async def test_others_than_the_service_role_hear_only_what_they_may_read(
    stack: StackInfo, database: Database
) -> None:
    person = str(uuid.uuid4())
    token = keys.sign({"role": "authenticated", "sub": person}, 60)
    async with (
        connected(stack, stack.publishable_key) as anonymous,
        connected(stack, stack.publishable_key) as signed_in,
    ):
        await anonymous.subscribe()
        await signed_in.subscribe(token=token)
        await database.execute("insert into heard (id) values (1)")
        await database.execute("insert into heard (id, owner) values (2, $1)", person)
        assert (await signed_in.hear())["payload"]["data"]["record"]["id"] == 2
        with pytest.raises(TimeoutError):
            await anonymous.hear(within=0.2)


async def test_filters_are_obeyed(client: Client, database: Database) -> None:
    wish = {"event": "INSERT", "schema": "public", "table": "heard", "filter": "id=gt.1"}
    await client.say("phx_join", config={"postgres_changes": [wish]})
    assert [(await client.hear())["event"] for _ in range(2)] == ["phx_reply", "system"]
    await database.execute("insert into heard (id) values (1), (2)")
    assert (await client.hear())["payload"]["data"]["record"]["id"] == 2


async def test_an_unpublished_table_is_joined_and_then_refused(client: Client) -> None:
    assert (await client.join(table="unheard"))["payload"]["status"] == "ok"
    refused = await client.hear()
    assert (refused["event"], refused["payload"]["status"]) == ("system", "error")
    assert "table: unheard" in refused["payload"]["message"]


async def test_a_broadcast_comes_back_only_to_whom_it_should(
    stack: StackInfo, client: Client
) -> None:
    await client.join(table="", self=True)
    async with connected(stack) as deaf:
        await deaf.join(table="", self=False, ack=True)
        await client.say("broadcast", type="broadcast", event="ping", payload={"n": 1})
        for one in (client, deaf):
            echo = await one.hear()
            assert (echo["event"], echo["payload"]["payload"]) == ("broadcast", {"n": 1})
        await deaf.say("broadcast", type="broadcast", event="ping", payload={"n": 2})
        assert (await deaf.hear())["event"] == "phx_reply"
        assert (await client.hear())["payload"]["payload"] == {"n": 2}
        with pytest.raises(TimeoutError):
            await deaf.hear(within=0.2)


async def test_a_wrong_key_is_refused_on_connecting_and_a_wrong_token_on_joining(
    stack: StackInfo, client: Client
) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with connected(stack, "wrong"):
            pass
    assert refused.value.response.status_code == 403
    reply = await client.join(token="wrong")
    assert reply["payload"]["status"] == "error"


async def test_a_restart_of_postgres_is_silent_and_events_go_on(
    client: Client, stack: StackInfo, running_stack: RunningStack
) -> None:
    await client.subscribe(event="INSERT")
    await running_stack.restart_postgres()
    await execute(stack.database_url, "truncate heard")
    heard: list[Message] = []
    for number in range(50):
        await execute(stack.database_url, f"insert into heard (id) values ({number})")
        try:
            heard.append(await client.hear(within=0.2))
            break
        except TimeoutError:
            continue
    assert [message["event"] for message in heard] == ["postgres_changes"]


async def test_the_official_client_hears_an_insert_and_its_own_echo(
    stack: StackInfo, database: Database
) -> None:
    ready, arrived, echoed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    client = AsyncRealtimeClient(f"{stack.url}/realtime/v1", stack.secret_key, auto_reconnect=False)
    await client.connect()
    broadcast: RealtimeChannelBroadcastConfig = {"ack": False, "self": True}
    channel = client.channel(
        "worker", {"config": {"broadcast": broadcast, "presence": None, "private": False}}
    )
    inserted = RealtimePostgresChangesListenEvent.Insert
    channel.on_postgres_changes(inserted, lambda _: arrived.set(), table="heard", schema="public")
    channel.on_system(lambda _: ready.set()).on_broadcast("ping", lambda _: echoed.set())
    await channel.subscribe()
    async with asyncio.timeout(BOUNDED):
        await ready.wait()
        await database.execute("insert into heard (id) values (1)")
        await arrived.wait()
        await channel.send_broadcast("ping", {})
        await echoed.wait()
    await client.close()


async def test_clients_are_told_when_the_stack_ends(tmp_path: Path) -> None:
    running = RunningStack(tmp_path / "data")
    async with connected(running.info) as client:
        await client.join(table="")
        ending = asyncio.to_thread(running.end)
        task = asyncio.create_task(ending)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert await task == ""
