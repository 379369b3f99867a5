"""Which channels may be joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_PRIVATE_ONLY: Final = "PrivateOnly: This project only allows private channels"
_UNAUTHORIZED: Final = (
    "Unauthorized: You do not have permissions to read from this Channel topic: {}"
)


class RefusedError(Exception):
    """A channel may not be joined; why is its message, as clients read it."""


@dataclass
class Allowed:
    """What the project allows: a test changes it while the service runs, for joins to come."""

    public: bool = True  # the project's setting "Allow public access"
    private: bool = True  # False: an old server, which lets nobody into a private channel

    def check(self, name: str, role: str | None, *, private: bool) -> None:
        """Judge the channel `name`, which somebody in `role` wants to join.

        No policy on `realtime.messages` lets anybody in, so private channels are for service_role,
        to which policies do not apply.

        Raises:
            RefusedError: it may not be joined.
        """
        if not private and not self.public:
            raise RefusedError(_PRIVATE_ONLY)
        if private and not (self.private and role == "service_role"):
            raise RefusedError(_UNAUTHORIZED.format(name))
