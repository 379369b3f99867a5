"""`python -m worker` is `c3d-worker`."""

from worker.cli import main

main()
