"""What the documentation says of the code is so, and its links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from docs.run_snippets import SNIPPETS
from worker.backend.queue_report import QueueReport
from worker.check.machine import temporary_folder
from worker.commands.cli import app
from worker.observing import metrics
from worker.settings import Settings

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PAGES = sorted([*PROJECT.glob("*.md"), *DOCS.glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
EVENT = re.compile(r'\blog\.\w+\(\s*"(\w+)"(?: if [^"]+ else "(\w+)")?')
OF_BOTH_QUEUES = re.compile(r'self\._log\(\s*log\.\w+, "(\w+)"')
KINDS = ("session", "object")  # of the queues
METRIC = re.compile(r"`(c3d_(?:worker|queue|intake)_\w+)")
SERVED = re.compile(r"^# TYPE (c3d_\w+)", re.MULTILINE)
COUNTS = {each.name: 0 for each in fields(QueueReport)}
BY_CODE = {name: {"unexpected": 1} for name in COUNTS if name.endswith("_by_code")}
NOTHING = QueueReport(**{**COUNTS, **BY_CODE})  # type: ignore[arg-type]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = (re.sub(r"[^\w\- ]", "", each).strip() for each in HEADING.findall(_read(page)))
    return {each.lower().replace(" ", "-") for each in headings}


def _leads_nowhere() -> Iterator[str]:
    for page in PAGES:
        for link in LINK.findall(_read(page)):
            if "://" in link:
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in _anchors(target)):
                yield f"{page.name}: {link}"


def test_every_link_leads_somewhere() -> None:
    assert list(_leads_nowhere()) == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = set(LINK.findall(_read(PROJECT / "README.md")))
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= linked


def test_the_page_names_every_metric_and_no_other() -> None:
    served = set(SERVED.findall(metrics.exposition(NOTHING, reachable=True).decode()))
    assert set(METRIC.findall(_read(DOCS / "operate.md"))) == served


def test_the_page_names_every_event_and_no_other() -> None:
    sources = [p for p in (PROJECT / "worker").rglob("*.py") if "local" not in p.parts]
    logged = {name for p in sources for found in EVENT.findall(_read(p)) for name in found if name}
    logged |= {
        f"{kind}_{what}"
        for p in sources
        for what in OF_BOTH_QUEUES.findall(_read(p))
        for kind in KINDS
    }
    part = _read(DOCS / "operate.md").partition("\n## Logs\n")[2].partition("\n## ")[0]
    rows = " ".join(line.split("|")[1] for line in part.splitlines() if line.startswith("| `"))
    also = part.partition("LOG_LEVEL=DEBUG")[2]
    assert set(re.findall(r"`(\w+)`", rows + also)) == logged


@pytest.mark.parametrize("snippet", sorted(SNIPPETS.glob("*.sql")), ids=lambda path: path.stem)
def test_every_snippet_stands_in_the_page_with_its_result(snippet: Path) -> None:
    block = f"<!-- {snippet.stem} -->\n```sql\n{_read(snippet)}```\n\n```text\n"
    assert block in _read(DOCS / "dashboard.md"), "Run: .venv/bin/python docs/run_snippets.py"


@pytest.mark.parametrize("statement", sorted((DOCS / "sql").glob("*.sql")), ids=lambda p: p.stem)
def test_every_statement_of_the_worked_example_stands_in_it(statement: Path) -> None:
    assert f"```sql\n{_read(statement)}```\n" in _read(DOCS / "migrating.md")


def test_one_page_lists_every_command_and_no_page_another() -> None:
    listed = re.findall(r"^\| `c3d-worker ([a-z]+)", _read(DOCS / "operate.md"), re.MULTILINE)
    named = {name for page in PAGES for name in re.findall(r"c3d-worker ([a-z]+)", _read(page))}
    commands = {
        each.name or getattr(each.callback, "__name__", "") for each in app.registered_commands
    }
    assert set(listed) == commands
    assert named <= commands


def test_the_quick_start_shows_what_check_says_of_the_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for each in Settings.model_fields:
        monkeypatch.delenv(each.upper(), raising=False)
    settings = Settings(
        _env_file=None, supabase_url="https://a.supabase.co", supabase_secret_key="sb_secret_a"
    )
    _, takes = temporary_folder(settings).said.split(" GB free; ")
    assert takes in " ".join(_read(DOCS / "quick-start.md").split())
