"""`python -m worker` and `c3d-worker`."""


def main() -> None:
    """Run the command line."""
    # Imported here because every child process imports this module, and needs none of it.
    from worker.commands.cli import main as command  # noqa: PLC0415

    command()


if __name__ == "__main__":
    main()
