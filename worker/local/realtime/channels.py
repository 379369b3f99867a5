"""Phoenix channels over one websocket: join, leave, heartbeat, broadcast (protocol 1.0.0)."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from worker.local import keys
from worker.local.realtime.allowed import Allowed, RefusedError
from worker.local.realtime.pgoutput import Kind, Relation

_ids = itertools.count(1)


@dataclass(frozen=True)
class Binding:
    """A client's request for changes: which events of which table."""

    event: str  # INSERT, UPDATE, DELETE or *
    schema: str  # * for any
    table: str  # * for any
    filter: str | None  # see `Tables.fits`
    echo: dict[str, Any]  # the request as the client wrote it
    id: int = field(default_factory=lambda: next(_ids))

    def fits(self, kind: Kind, relation: Relation) -> bool:
        """Return whether the request includes the event, apart from its filter."""
        return (
            self.event in (kind, "*")
            and self.schema in (relation.schema, "*")
            and self.table in (relation.table, "*")
        )


@dataclass
class Channel:
    """A topic that a client has joined."""

    topic: str
    join_ref: str | None
    claims: dict[str, Any]  # of the JWT that it joined with
    private: bool  # a private and a public channel of one topic do not hear each other
    hears_itself: bool  # whether it gets its own broadcasts
    acknowledges: bool  # whether its broadcasts are answered
    bindings: list[Binding]
    subscribed: bool = False  # whether changes are delivered yet

    @classmethod
    def joined(cls, message: dict[str, Any], claims: dict[str, Any]) -> Channel:
        """Read the `phx_join` message."""
        config = message["payload"].get("config") or {}
        broadcast = config.get("broadcast") or {}
        return cls(
            topic=message["topic"],
            join_ref=message.get("ref"),
            claims=claims,
            private=bool(config.get("private")),
            hears_itself=bool(broadcast.get("self")),
            acknowledges=bool(broadcast.get("ack")),
            bindings=[_binding(wanted) for wanted in config.get("postgres_changes") or []],
        )

    def hears(self, other: Channel) -> bool:
        """Return whether what is broadcast on the other channel is for this one too."""
        return (self.topic, self.private) == (other.topic, other.private)

    @property
    def name(self) -> str:
        """The topic without its prefix."""
        return self.topic.removeprefix("realtime:")


class Socket:
    """One client: its websocket, and the channels it joined."""

    def __init__(
        self, websocket: web.WebSocketResponse, claims: dict[str, Any], allowed: Allowed
    ) -> None:
        """`claims` are those of the key with which the client connected."""
        self._websocket = websocket
        self._claims = claims
        self._allowed = allowed
        self.channels: dict[str, Channel] = {}

    async def join(self, message: dict[str, Any]) -> Channel | None:
        """Answer `phx_join`; return the channel, or None where it is refused."""
        topic, token = message["topic"], message["payload"].get("access_token")
        try:
            claims = keys.claims_of(keys.translate(token)) if token else self._claims
            channel = Channel.joined(message, claims)
            self._allowed.check(channel.name, claims.get("role"), private=channel.private)
        except keys.InvalidTokenError as error:
            await self.reply(message, {"reason": f"InvalidJWTToken: {error}"}, status="error")
            return None
        except RefusedError as error:
            await self.reply(message, {"reason": str(error)}, status="error")
            return None
        if (before := self.channels.get(topic)) is not None:
            # Clients mistake this for the end of the new channel, but Phoenix sends it.
            await self.send(topic, "phx_close", {}, ref=before.join_ref)
        self.channels[topic] = channel
        echoes = [{"id": binding.id, **binding.echo} for binding in channel.bindings]
        await self.reply(message, {"postgres_changes": echoes})
        return channel

    async def leave(self, message: dict[str, Any]) -> None:
        """Answer `phx_leave`."""
        channel = self.channels.pop(message["topic"], None)
        await self.reply(message, {})
        if channel is not None:
            await self.send(channel.topic, "phx_close", {}, ref=channel.join_ref)

    async def reply(
        self, message: dict[str, Any], response: dict[str, Any], *, status: str = "ok"
    ) -> None:
        """Send the `phx_reply` to a message."""
        payload = {"status": status, "response": response}
        await self.send(message["topic"], "phx_reply", payload, ref=message.get("ref"))

    async def system(self, channel: Channel, status: str, text: str) -> None:
        """Send the status of the subscription to the database: "ok" or "error", and why."""
        about = {"channel": channel.name, "extension": "postgres_changes"}
        payload = {**about, "status": status, "message": text}
        await self.send(channel.topic, "system", payload, ref=None)

    async def send(
        self, topic: str, event: str, payload: dict[str, Any], *, ref: str | None
    ) -> None:
        """Send one message, unless the client has disconnected."""
        message = {"topic": topic, "event": event, "payload": payload, "ref": ref}
        with contextlib.suppress(ConnectionError):
            await self._websocket.send_str(json.dumps(message))

    async def close(self, code: int, reason: str) -> None:
        """Close the websocket."""
        await self._websocket.close(code=code, message=reason.encode())

    def listening(self, kind: Kind, relation: Relation) -> Iterator[tuple[Channel, Binding]]:
        """Yield the bindings that include an event, each with its channel."""
        for channel in self.channels.values():
            if channel.subscribed:
                for binding in channel.bindings:
                    if binding.fits(kind, relation):
                        yield channel, binding


def _binding(wanted: dict[str, Any]) -> Binding:
    return Binding(
        event=wanted.get("event", "*"),
        schema=wanted.get("schema", "public"),
        table=wanted.get("table") or "*",
        filter=wanted.get("filter"),
        echo=wanted,
    )
