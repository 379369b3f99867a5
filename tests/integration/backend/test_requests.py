"""A request costs no search for modules: one that is not found is looked for on the disk again."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

import pytest
from pydantic import SecretStr

from worker.backend.connection import connect
from worker.local.stack import StackInfo
from worker.settings import Settings


class _Noting(MetaPathFinder):
    """Finds nothing, and notes what was looked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, fullname: str, *_: object) -> None:
        self.names.append(fullname)


async def test_a_request_looks_for_no_module(
    stack: StackInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    noting = _Noting()
    settings = Settings(
        _env_file=None,
        supabase_url=stack.url,
        supabase_secret_key=SecretStr(stack.secret_key),
    )
    async with connect(settings) as connection:
        address = f"{stack.url}/rest/v1/"
        await connection.http.get(address, headers=connection.headers)  # imports what there is
        monkeypatch.setattr(sys, "meta_path", [noting, *sys.meta_path])
        answer = await connection.http.get(address, headers=connection.headers)
    assert answer.status_code == 200
    assert noting.names == []
