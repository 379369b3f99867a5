"""Rules that an owner has on the table of sessions, put there for a moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from tests.integration.harness import Harness

TABLE = "public.therapy_sessions"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that refuses sessions, and what a person has to be told of it."""

    put: str
    remove: str
    names: tuple[str, ...]  # stand in the sentence

    @asynccontextmanager
    async def on(self, harness: Harness) -> AsyncIterator[None]:
        """Have the rule until the block ends."""
        await harness.database.execute(self.put)
        try:
            yield
        finally:
            await harness.database.execute(self.remove)


def trigger(
    body: str,
    *names: str,
    when: str = "before insert",
    more: str = "",
    deferred: bool = False,
) -> Rule:
    """Return a rule that is a trigger with a function of this body."""
    constraint, timing = "", ""
    if deferred:
        constraint, timing = "constraint", "deferrable initially deferred"
    return Rule(
        f"""
        {more};
        create function public.of_the_owner() returns trigger language plpgsql as $$
        begin
          {body}
          return new;
        end $$;
        create {constraint} trigger owners_rule {when} on {TABLE} {timing}
        for each row execute function public.of_the_owner();
        """,
        "drop function public.of_the_owner() cascade; drop table if exists public.of_the_owner",
        ("trigger owners_rule", "public.of_the_owner", "disable trigger owners_rule;", *names),
    )


def constraint(name: str, definition: str, *names: str) -> Rule:
    """Return a rule that is a constraint."""
    return Rule(
        f"alter table {TABLE} add constraint {name} {definition}",
        f"alter table {TABLE} drop constraint {name}",
        (f"rule {name}", f"drop constraint {name};", *names),
    )


_FILLED = trigger("new.filled := 'here';")

# Each refuses every new session, whatever is in it.
REFUSING_ALL = {
    "a column that must not be empty": Rule(
        f"alter table {TABLE} add column processing_version text not null",
        f"alter table {TABLE} drop column processing_version",
        ("therapy_sessions.processing_version", "alter column processing_version drop not null;"),
    ),
    "columns that must not be empty": Rule(
        f"""
        alter table {TABLE}
          add column number integer not null generated always as identity,
          add column doubled bigint not null generated always as (file_size_bytes * 2) stored,
          add column filled text not null,
          add column code text not null,
          add column known text not null default '',
          add column processing_version text not null;
        {_FILLED.put}
        """,
        f"""
        {_FILLED.remove};
        alter table {TABLE} drop column number, drop column doubled, drop column filled,
          drop column code, drop column known, drop column processing_version
        """,
        (
            "therapy_sessions.code and therapy_sessions.processing_version must not be empty, and",
            f"alter table {TABLE} alter column code drop not null, alter column processing_version",
            "drop not null; or give each a default.",
        ),
    ),
    "a failing trigger": trigger("perform public.is_gone(new.id);", "42883"),
    "a trigger that raises": trigger("raise exception 'not today';", "P0001", "not today"),
    "a trigger that asserts": trigger("assert false, 'not so';", "P0004", "not so"),
    "a trigger that leaves the row out": replace(
        trigger("return null;"), names=("A trigger before the insert leaves the row out",)
    ),
    "a trigger with a table of its own": trigger(
        "insert into public.of_the_owner values (null);",
        "23502",
        more="create table public.of_the_owner (patient_id text not null);"
        " grant insert on public.of_the_owner to service_role",
        when="after insert",
    ),
    "a trigger without a grant": trigger(
        "insert into public.of_the_owner values (null);",
        "42501",
        more="create table public.of_the_owner (patient_id text);"
        " revoke all on public.of_the_owner from service_role",
    ),
    "a trigger at the end": trigger(
        "raise exception 'not today';", "P0001", when="after insert", deferred=True
    ),
    "a check": constraint("short_paths", "check (length(file_path) < 2)", "23514"),
    "a foreign key": constraint(
        "known_file",
        "foreign key (original_filename) references storage.buckets (id)"
        " deferrable initially deferred",
        "23503",
    ),
    "a missing grant": Rule(
        f"revoke insert on {TABLE} from service_role",
        f"grant insert on {TABLE} to service_role",
        (f"grant select, insert, update, delete on {TABLE} to service_role;",),
    ),
}
