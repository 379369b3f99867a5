"""The delays between attempts double, are capped, and differ from worker to worker."""

from __future__ import annotations

from worker.backoff import backoff


def test_the_delay_doubles_up_to_the_cap_within_its_jitter() -> None:
    for failures, doubled in [(1, 1.0), (2, 2.0), (3, 4.0), (6, 30.0), (10_000, 30.0)]:
        waits = [backoff(failures, initial=1.0, maximum=30.0) for _ in range(100)]
        assert doubled / 2 <= min(waits)
        assert max(waits) <= doubled


def test_two_workers_do_not_come_back_together() -> None:
    assert len({backoff(3, initial=1.0, maximum=30.0) for _ in range(10)}) > 1
