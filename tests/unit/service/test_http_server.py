"""The address of the HTTP server."""

from __future__ import annotations

import pytest

from worker.errors import SettingError
from worker.service.http_server import bind


def test_an_address_is_taken_before_anything_is_served_on_it() -> None:
    with bind("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with pytest.raises(SettingError, match="HTTP_PORT"):
            bind("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(SettingError, match="HTTP_HOST"):
        bind("192.0.2.1", 0)
