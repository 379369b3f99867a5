"""A name that was given up is used nowhere any more, and no file names a registry of packages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from worker.settings import RENAMED

PROJECT = Path(__file__).parents[2]
LIST = "tests/retired_identifiers.txt"
MAY_NAME_THEM = {LIST, "CHANGELOG.md"}
# Written so that this line names none itself.
REGISTRY = re.compile(r"p[y]pi[.](?:org|python)|python[h]osted[.]|npm[j]s[.]")
STILL_READ = {  # settings by their old names
    "worker/settings/loading.py",
    "worker/settings/model.py",
    "tests/unit/test_settings.py",
}


def test_no_retired_identifier_is_used() -> None:
    if not (PROJECT / ".git").exists():
        pytest.skip("only a clone says which files are the project's")
    lines = (PROJECT / LIST).read_text(encoding="utf-8").splitlines()
    names = {line.partition("#")[0].strip() for line in lines} - {""}
    either = "|".join(re.escape(name).replace(r"\*", r"\w+") for name in names)
    retired = re.compile(rf"\b(?!FIRST_COMPLETED\b)(?:{either})\b")  # that one is asyncio's
    used = {path: {*retired.findall(text)} for path, text in _tracked_texts().items()}
    for path in STILL_READ:
        used[path] -= {*RENAMED}
    assert {path: found for path, found in used.items() if found} == {}


@pytest.mark.skipif(not (PROJECT / ".git").exists(), reason="only a clone has all the files")
def test_no_file_names_a_registry_of_packages() -> None:
    found = {path: REGISTRY.findall(text) for path, text in _tracked_texts().items()}
    assert {path: hosts for path, hosts in found.items() if hosts} == {}


def _tracked_texts() -> dict[str, str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    paths = {*listed.stdout.split("\0")} - {"", *MAY_NAME_THEM}
    there = {path: PROJECT / path for path in sorted(paths) if (PROJECT / path).is_file()}
    return {
        name: path.read_text(encoding="utf-8", errors="replace") for name, path in there.items()
    }
