"""`python -m worker` and `c3d-worker`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it, also while it is still being imported."""
    # Imported here because every child process imports this module, and needs none of it; and
    # who asks for the version, needs none of it either.
    try:
        if sys.argv[1:] == ["--version"]:
            from importlib.metadata import version  # noqa: PLC0415

            print(version("c3d-session-worker"))  # noqa: T201
            return
        from worker.commands.cli import main as command  # noqa: PLC0415

        command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
