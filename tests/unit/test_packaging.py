"""What gets out of a clone, and that it works where there is no clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from worker.drawing.raster import FONT

PROJECT = Path(__file__).parents[2]
MIGRATIONS = {path.name: path.read_text() for path in PROJECT.glob("supabase/migrations/*.sql")}
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".local-stack", "build", "dist")
PLANTED = (".env", "worker/.env", "notes.txt", "supabase/.temp/pooler-url", "tests/.env")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of a clone in which secrets lie about."""
    folder = tmp_path_factory.mktemp("packages")
    clone = folder / "clone"
    shutil.copytree(PROJECT, clone, ignore=NOT_COPIED)
    for name in PLANTED:
        (clone / name).parent.mkdir(exist_ok=True)
        (clone / name).write_text("SUPABASE_SECRET_KEY=planted\n")
    _build(clone, folder)
    return folder


def _build(source: Path, into: Path, *targets: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(into), *targets]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _wheel(folder: Path) -> zipfile.ZipFile:
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture
def installed(built: Path, tmp_path: Path) -> Path:
    """A folder that holds what the wheel installs."""
    target = tmp_path / "site-packages"
    with _wheel(built) as wheel:
        wheel.extractall(target)
    return target


def _run(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_the_package_and_the_migrations(built: Path) -> None:
    with _wheel(built) as wheel:
        names = wheel.namelist()
        held = {
            Path(name).name: wheel.read(name).decode() for name in names if "/migrations/" in name
        }
    assert held == MIGRATIONS
    assert "worker/supabase/config.toml" in names
    assert {name.split("/")[0] for name in names} == {
        "worker",
        f"c3d_session_worker-{version('c3d-session-worker')}.dist-info",
    }


def test_what_runs_is_pinned_as_it_was_tested() -> None:
    tested, run = (
        dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (PROJECT / lock).read_text()))
        for lock in ("requirements.lock", "deploy/requirements.lock")
    )
    assert run.items() < tested.items()
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert {re.split("[=>]", needed)[0] for needed in project["dependencies"]} <= run.keys()


def test_no_secret_gets_out(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with _wheel(built) as wheel, tarfile.open(sdist) as archive:
        inside = wheel.namelist()
        inside += [name.partition("/")[2] for name in archive.getnames()]
    assert not set(inside) & {*PLANTED, "worker/supabase/.temp/pooler-url"}
    assert [name for name in inside if name.endswith(".env")] == []


def test_the_sdist_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", str(sdist), "-C", str(tmp_path)], check=True)
    (source,) = tmp_path.iterdir()
    _build(source, tmp_path, "-t", "wheel")
    with _wheel(built) as first, _wheel(tmp_path) as second:
        assert {e.filename: e.CRC for e in first.infolist()} == {
            e.filename: e.CRC for e in second.infolist()
        }


def test_an_installed_worker_writes_its_migrations(installed: Path, tmp_path: Path) -> None:
    where = _run(installed, tmp_path, "-c", "import worker; print(worker.__file__)").stdout
    assert where.startswith(str(installed))
    folder = tmp_path / "new" / "supabase" / "migrations"
    command = ("-m", "worker", "migrations", "--to", str(folder))
    first = _run(installed, tmp_path, *command)
    assert first.returncode == 0, first.stderr
    assert {path.name: path.read_text() for path in folder.iterdir()} == MIGRATIONS
    assert f"{len(MIGRATIONS)} written, 0 were there already." in first.stdout
    assert f"Next: cd {tmp_path / 'new'} && " in first.stdout
    again = _run(installed, tmp_path, *command)
    assert f"0 written, {len(MIGRATIONS)} were there already." in again.stdout


def test_another_file_of_the_same_name_is_left_alone(installed: Path, tmp_path: Path) -> None:
    name = min(MIGRATIONS)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / name).write_text("-- mine\n")
    refused = _run(installed, tmp_path, "-m", "worker", "migrations", "--to", str(mine))
    assert refused.returncode == 2
    assert refused.stderr.startswith("file_differs:")
    assert name in "".join(refused.stderr.split())
    assert [path.read_text() for path in mine.iterdir()] == ["-- mine\n"]


def test_a_clone_writes_them_too(tmp_path: Path) -> None:
    done = _run(PROJECT, tmp_path, "-m", "worker", "migrations", "--to", str(tmp_path / "there"))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "there").iterdir()} == set(MIGRATIONS)
    assert "copy them into supabase/migrations" in done.stdout


@pytest.mark.parametrize("page", ["deploy/Dockerfile", "docs/install.md"])
def test_who_installs_a_worker_installs_the_font_of_its_pictures(page: str) -> None:
    package = {"DejaVuSans.ttf": "fonts-dejavu-core"}[FONT]  # of Debian and Ubuntu
    text = (PROJECT / page).read_text(encoding="utf-8")
    assert re.search(rf"\bapt(-get)? install [^&]*\b{package}\b", text)
