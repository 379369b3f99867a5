"""Run the local stack on free ports: `python -m worker.local DATA_DIRECTORY ENV_FILE`.

The `.env` file appears once the stack answers; the tests wait for it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from worker.errors import StackError
from worker.local.stack import Ports, StackInfo, serve


def main(data: Path, env_file: Path) -> None:
    """Serve a stack, with its data in `data`, until SIGINT or SIGTERM; write `env_file`."""

    def ready(info: StackInfo) -> None:
        staging = env_file.with_suffix(".partial")
        staging.write_text(info.env())
        staging.rename(env_file)  # atomic: nobody can read a part of the file

    def report(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    try:
        asyncio.run(serve(data, Ports(api=0, database=0), ready=ready, report=report))
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004 - the program and its two arguments
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
