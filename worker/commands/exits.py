"""How a command ends: the exit codes, and what it says of an error before it ends with one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from worker.dry_run.errors import PackageMissingError
from worker.errors import SetupError, StackError, WorkerError

REFUSED, WRONG_CALL = 1, 2  # exit codes
EXTRAS: Mapping[
    str, tuple[str, type[SetupError]]
] = {  # of pyproject.toml: what for, what is raised
    "local": ("The local stack", StackError),
    "dry-run": ("A dry run", PackageMissingError),
}

Result = TypeVar("Result")


def ending(command: Callable[[], object]) -> None:
    """Run a command; an error of this project or of a file is one sentence and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # tests have streams of their own
        if reconfigure:
            reconfigure(errors="replace")  # a terminal that is not UTF-8 lacks some characters
    try:
        command()
    except WorkerError as error:
        _end(error)
    except OSError as error:
        if error.filename is None:  # not about a file: a fault of this program
            raise
        _end(SetupError(f"{error.filename}: {error.strerror}."))


def done(work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work of a command in a loop of its own, and return its result."""
    import asyncio

    return asyncio.run(work)


def extra(module: str, name: str = "local") -> Any:
    """Import what the worker itself does without, and what the extra `name` installs."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        what, missing = EXTRAS[name]
        raise missing(
            f"{what} needs {error.name}. "
            f"Install the wheel again with its extra: pip install 'WHEEL[{name}]', where WHEEL is "
            "its file."
        ) from None


def _end(error: WorkerError) -> None:
    # Most commands end well, and need none of these.
    from rich.console import Console
    from rich.text import Text

    from worker.commands.terminal import tell

    tell(Console(stderr=True), Text.assemble((error.code, "bold red"), f": {error}"))
    sys.exit(WRONG_CALL)
