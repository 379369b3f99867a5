"""The websocket endpoint: clients on one side, the feed of changes on the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from aiohttp import WSMsgType, web

from worker.local import keys
from worker.local.postgres import DATABASE_ERRORS
from worker.local.realtime.allowed import Allowed
from worker.local.realtime.channels import Binding, Channel, Socket
from worker.local.realtime.events import event_data
from worker.local.realtime.feed import Feed
from worker.local.realtime.pgoutput import Change
from worker.local.realtime.tables import Tables

_log = logging.getLogger(__name__)

_GOING_AWAY: Final = 1001
_RETRY_SECONDS: Final = 0.5  # between two queries while the database is down
_NOT_PUBLISHED: Final = (
    "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for "
    "the given connect parameters: [event: {0.event}, schema: {0.schema}, table: {0.table}, "
    "filters: []]"
)


@asynccontextmanager
async def realtime(superuser_url: str) -> AsyncIterator[Realtime]:
    """Run the service until the block ends; yield it once it sees every later change."""
    async with asyncpg.create_pool(
        superuser_url, min_size=0, max_size=4, statement_cache_size=0
    ) as pool:
        service = Realtime(Feed(superuser_url), Tables(pool))
        delivering = asyncio.create_task(service.deliver())
        try:
            await service.feed.running.wait()
            yield service
        finally:
            delivering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await delivering


class Realtime:
    """Serves all connected clients."""

    def __init__(self, feed: Feed, tables: Tables) -> None:
        """`feed` yields the changes, which `deliver` passes on; `tables` decides who gets them."""
        self.feed = feed
        self.allowed = Allowed()
        self._tables = tables
        self._sockets: set[Socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """GET /realtime/v1/websocket: serve one client until it disconnects."""
        try:
            claims = keys.claims_of(keys.token_of(request))
        except (keys.InvalidTokenError, web.HTTPUnauthorized):
            return web.Response(status=403)
        websocket = web.WebSocketResponse(heartbeat=30)
        await websocket.prepare(request)
        socket = Socket(websocket, claims, self.allowed)
        self._sockets.add(socket)
        try:
            async for frame in websocket:
                if frame.type is WSMsgType.TEXT:
                    await self._handle(socket, json.loads(frame.data))
        finally:
            self._sockets.discard(socket)
        return websocket

    async def deliver(self) -> None:
        """Send every change to the clients that asked for it and may see it."""
        async for change in self.feed.changes():
            try:
                await self._deliver(change)
            except DATABASE_ERRORS as error:
                _log.info("event lost: %s", error)

    async def close_sockets(self) -> None:
        """Disconnect every client: the end of the HTTP server would wait for them."""
        sockets = list(self._sockets)
        await asyncio.gather(*(socket.close(_GOING_AWAY, "going away") for socket in sockets))

    async def _handle(self, socket: Socket, message: dict[str, Any]) -> None:
        channel = socket.channels.get(message["topic"])
        match message["event"]:
            case "heartbeat":
                await socket.reply(message, {})
            case "phx_join":
                joined = await socket.join(message)
                if joined is not None and joined.bindings:
                    self._in_background(self._subscribe(socket, joined))
            case "phx_leave":
                await socket.leave(message)
            case "broadcast" if channel is not None:
                await self._broadcast(socket, channel, message)
            case "access_token" if channel is not None:
                token = keys.translate(message["payload"].get("access_token") or "")
                with contextlib.suppress(keys.InvalidTokenError):
                    channel.claims = keys.claims_of(token)
            case _:
                await socket.reply(message, {"reason": "unmatched topic"}, status="error")

    async def _broadcast(self, sender: Socket, channel: Channel, message: dict[str, Any]) -> None:
        for socket in list(self._sockets):
            theirs = socket.channels.get(channel.topic)
            if theirs is None or not theirs.hears(channel):
                continue
            if socket is not sender or channel.hears_itself:
                await socket.send(channel.topic, "broadcast", message["payload"], ref=None)
        if channel.acknowledges:
            await sender.reply(message, {})

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _subscribe(self, socket: Socket, channel: Channel) -> None:
        """Subscribe a channel once the database can say whether its tables are published."""
        while socket.channels.get(channel.topic) is channel and socket in self._sockets:
            try:
                await self.feed.running.wait()
                missing = await self._missing(channel)
            except DATABASE_ERRORS:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if missing is None:
                channel.subscribed = True
                await socket.system(channel, "ok", "Subscribed to PostgreSQL")
            else:
                await socket.system(channel, "error", _NOT_PUBLISHED.format(missing))
            return

    async def _missing(self, channel: Channel) -> Binding | None:
        for binding in channel.bindings:
            if not await self._tables.is_published(binding.schema, binding.table):
                return binding
        return None

    async def _deliver(self, change: Change) -> None:
        listening = list(self._listening(change))
        if not listening:
            return
        columns = await self._tables.columns(change.relation)
        if not columns:
            return  # the table was dropped meanwhile
        data = await event_data(self._tables, change, columns)
        row = change.new or change.old or {}
        ids: dict[tuple[Socket, str], list[int]] = {}
        for socket, channel, binding in listening:
            if not await self._tables.fits(binding.filter, row, columns):
                continue
            if await self._tables.may_see(channel.claims, change, columns):
                ids.setdefault((socket, channel.topic), []).append(binding.id)
        for (socket, topic), its_ids in ids.items():
            await socket.send(topic, "postgres_changes", {"ids": its_ids, "data": data}, ref=None)

    def _listening(self, change: Change) -> Iterator[tuple[Socket, Channel, Binding]]:
        for socket in list(self._sockets):
            for channel, binding in socket.listening(change.kind, change.relation):
                yield socket, channel, binding
