"""Rules of an owner that refuse changes of one patient's rows, and what becomes of those rows."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import asyncpg

from tests.integration.databases import Connection
from tests.integration.queue_calls import add, backdate

REFUSES: Final = """
create function refuse() returns trigger language plpgsql as $$
begin
  {does}
end $$;
create trigger refuse before update on therapy_sessions
for each row when (old.patient_id = 'P7' and {when}) execute function refuse();
"""
WEAR_OUT: Final = """
update therapy_sessions set processing_status = 'processing', processing_attempts = $2,
  processing_claim = gen_random_uuid()
where id = $1
"""
TWO_COLUMNS: Final = """
alter table therapy_sessions add constraint two_columns
check (patient_id <> 'P7' or file_path <> original_filename) not valid
"""
RAISES: Final = "raise exception 'P7 is not to be changed';"
ASSERTS: Final = "assert false, 'not P7';"
# What an owner's database may do with the rows of one patient, and what is said of it.
RULES: Final = {
    "a trigger raises": (
        REFUSES.format(does=RAISES, when="true"),
        "P7 is not to be changed (P0001)",
    ),
    "a trigger asserts": (
        REFUSES.format(does=ASSERTS, when="true"),
        "not P7 (P0004)",
    ),
    "a trigger skips": (
        REFUSES.format(does="return null;", when="true"),
        "a trigger skips the change (09000)",
    ),
    "a function is missing": (
        REFUSES.format(does="perform no_such_function(); return new;", when="true"),
        "(42883)",
    ),
    "a check over two columns": (
        TWO_COLUMNS,
        '"two_columns" (23514)',
    ),
}


async def poisoned(owner: Connection) -> UUID:
    """Add a session that every rule of these tests refuses, due for longest."""
    session = await add(owner, patient_id="P7", file_path="same.c3d", original_filename="same.c3d")
    await backdate(owner, session, 3600)
    return session


async def aside(owner: Connection, session: UUID) -> asyncpg.Record | None:
    """Return the session's row of `set_aside`, and for how many seconds it is passed by."""
    return await owner.fetchrow(
        "select *, extract(epoch from until - clock_timestamp())::float8 as seconds "
        "from set_aside where session_id = $1",
        session,
    )


async def look(owner: Connection, session: UUID) -> asyncpg.Record:
    """Return the session's line of the overview."""
    found = await owner.fetchrow("select * from session_overview where session_id = $1", session)
    assert found is not None
    return found


async def wait_over(owner: Connection) -> None:
    """Let what was set aside be attempted again."""
    await owner.execute("update set_aside set until = clock_timestamp() - interval '1 second'")
