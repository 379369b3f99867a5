"""What `--help` says fits a screen of 80 columns, and shows how a command is typed."""

from __future__ import annotations

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from worker.commands.cli import app

COMMANDS = sorted(getattr(get_command(app), "commands"))  # noqa: B009 - of a group only
WITH_ARGUMENTS = {"ingest", "requeue", "retake", "inspect", "migrations", "local"}


def said(*arguments: str) -> str:
    ended = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "80"})
    assert ended.exit_code == 0
    assert max(map(len, ended.stdout.splitlines())) <= 80
    return ended.stdout


def test_the_list_says_of_each_command_what_it_does_in_one_line() -> None:
    listed = said().partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in listed] == [line[2:14].strip() for line in listed]
    assert not [line for line in listed if not line.endswith(".") or line.endswith("...")]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_switch_is_said_to_take_a_bool(command: str) -> None:
    assert "<bool>" not in said(command)


@pytest.mark.parametrize("command", sorted(WITH_ARGUMENTS))
def test_a_command_that_takes_something_shows_an_example(command: str) -> None:
    assert f"Example: c3d-worker {command} " in said(command)
