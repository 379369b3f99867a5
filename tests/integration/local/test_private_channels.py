"""The Realtime stand-in lets into private and public channels whom the real one lets in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.databases import execute
from tests.integration.local.phoenix import Client, Message, connected
from tests.integration.second_gateway import second_gateway
from worker.local.realtime.allowed import Allowed
from worker.local.stack import StackInfo

UNAUTHORIZED = "Unauthorized: You do not have permissions to read from this Channel topic: t"
PRIVATE_ONLY = "PrivateOnly: This project only allows private channels"


@pytest.fixture
async def second(stack: StackInfo, tmp_path: Path) -> AsyncIterator[tuple[StackInfo, Allowed]]:
    async with second_gateway(stack, tmp_path) as (there, realtime):
        yield there, realtime.allowed


@pytest.fixture
async def client(stack: StackInfo) -> AsyncIterator[Client]:
    async with connected(stack) as client:
        yield client


def refusal(reply: Message) -> tuple[str, str, str]:
    """Who is answered, and with which reason."""
    assert reply["payload"]["status"] == "error"
    return reply["event"], reply["ref"], reply["payload"]["response"]["reason"]


async def test_the_service_key_joins_a_private_channel_and_hears_a_change(
    stack: StackInfo, client: Client
) -> None:
    await execute(
        stack.database_url,
        """
        create table private_bells (id bigint primary key);
        grant select on private_bells to service_role;
        alter publication supabase_realtime add table private_bells;
        """,
    )
    await client.subscribe(table="private_bells", private=True)
    await execute(stack.database_url, "insert into private_bells values (1)")
    assert (await client.hear())["payload"]["data"]["record"] == {"id": 1}
    await execute(stack.database_url, "drop table private_bells")


async def test_others_are_refused(stack: StackInfo, client: Client) -> None:
    async with connected(stack, stack.publishable_key) as anonymous:
        reply = await anonymous.join(table="", private=True)
        assert refusal(reply) == ("phx_reply", "7", UNAUTHORIZED)
        assert (await anonymous.join(table=""))["payload"]["status"] == "ok"
    reply = await client.join(table="", private=True, token=stack.anon_jwt)  # who joins counts
    assert refusal(reply) == ("phx_reply", "7", UNAUTHORIZED)


async def test_a_project_can_forbid_public_channels(second: tuple[StackInfo, Allowed]) -> None:
    there, allowed = second
    async with connected(there) as client:
        assert (await client.join(table=""))["payload"]["status"] == "ok"
        allowed.public = False
        assert refusal(await client.join(table="")) == ("phx_reply", "7", PRIVATE_ONLY)
        await client.say("phx_leave")
        assert [(await client.hear())["event"] for _ in range(2)] == ["phx_reply", "phx_close"]
        assert (await client.join(table="", private=True))["payload"]["status"] == "ok"


async def test_an_old_server_lets_nobody_into_a_private_channel(
    second: tuple[StackInfo, Allowed],
) -> None:
    there, allowed = second
    allowed.private = False
    async with connected(there) as client:
        reply = await client.join(table="", private=True)
        assert refusal(reply) == ("phx_reply", "7", UNAUTHORIZED)
        assert (await client.join(table=""))["payload"]["status"] == "ok"


async def test_private_and_public_channels_of_one_topic_do_not_hear_each_other(
    stack: StackInfo, client: Client
) -> None:
    await client.join(table="", private=True, self=True)
    async with connected(stack) as public, connected(stack) as private:
        await public.join(table="", self=True)
        await private.join(table="", private=True)
        await client.say("broadcast", type="broadcast", event="ping", payload={"n": 1})
        await public.say("broadcast", type="broadcast", event="ping", payload={"n": 2})
        for listener, number in ((client, 1), (private, 1), (public, 2)):
            assert (await listener.hear())["payload"]["payload"] == {"n": number}
        for listener in (client, private, public):
            with pytest.raises(TimeoutError):
                await listener.hear(within=0.1)
