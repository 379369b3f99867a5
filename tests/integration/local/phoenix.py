"""A client of Realtime that shows every message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import websockets

from worker.local.stack import StackInfo

Message = dict[str, Any]
SYSTEM_OK = "Subscribed to PostgreSQL"
BOUNDED = 5  # seconds


class Client:
    """A client that shows every message."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket

    async def say(self, event: str, /, topic: str = "realtime:t", **payload: Any) -> None:
        message = {"event": event, "topic": topic, "payload": payload, "ref": "7", "join_ref": "1"}
        await self._socket.send(json.dumps(message))

    async def hear(self, within: float = BOUNDED) -> Message:
        message: Message = json.loads(await asyncio.wait_for(self._socket.recv(), within))
        return message

    async def join(
        self,
        /,
        table: str = "heard",
        *,
        event: str = "*",
        token: str | None = None,
        private: bool = False,
        **broadcast: bool,
    ) -> Message:
        wish = {"event": event, "schema": "public", "table": table}
        changes = [wish] if table else []
        config = {"broadcast": broadcast, "private": private, "postgres_changes": changes}
        await self.say("phx_join", config=config, **({"access_token": token} if token else {}))
        return await self.hear()

    async def subscribe(self, **how: Any) -> None:
        assert (await self.join(**how))["payload"]["status"] == "ok"
        assert (await self.hear())["payload"]["message"] == SYSTEM_OK


@asynccontextmanager
async def connected(stack: StackInfo, key: str = "") -> AsyncIterator[Client]:
    address = stack.url.replace("http", "ws")
    query = f"apikey={key or stack.secret_key}&vsn=1.0.0"
    async with websockets.connect(f"{address}/realtime/v1/websocket?{query}") as socket:
        yield Client(socket)
