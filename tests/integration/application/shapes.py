"""The application that uploads: the shapes its `therapy_sessions` has had, and how it fills them.

Each shape is a file of `schema/`, which fills its tables from the temporary table `uploaded`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.integration.databases import connected
from tests.integration.migrating import OLD_DEFAULT_PRIVILEGES
from tests.integration.uploads import numbered

BUCKET: Final = "c3d-examples"  # the application's, whose name begins each of its paths
SCHEMA: Final = Path(__file__).parent / "schema"
CODE: Final = "public.patients.patient_code"
CODES: Final = ("P001", "P002")  # of patients
UPLOADED_FROM: Final = datetime(2025, 9, 1, 9, 30, tzinfo=UTC)

_UPLOADED: Final = """
create temporary table uploaded (
  number integer, file_path text, file_hash text, size_bytes bigint, patient_code text, status text,
  uploaded_at timestamptz, rate real, seconds real, samples integer, channels integer, names text[]
)
"""
_Values = tuple[float, float, int, int, list[str]]  # rate, seconds, samples, channels, names
# What it writes of a file that it read, and of one that it could not read.
_READ: Final[_Values] = (990.0, 4.5, 4455, 2, ["CH1", "CH2"])
_INVENTED: Final[_Values] = (1000.0, 0.5, 1, 0, [])
_NOTHING: Final[_Values] = (0.0, 0.0, 0, 0, [])

Hash = Callable[["Upload"], str]


@dataclass(frozen=True, slots=True)
class Upload:
    """A recording in the application's bucket."""

    number: int
    status: str = "completed"

    @property
    def code(self) -> str:
        """The patient's code."""
        return CODES[self.number % len(CODES)]

    @property
    def path(self) -> str:
        """The name of the object."""
        return f"{self.code}/Ghostly_Emg_20250901_09-30-{self.number:02}-0000.c3d"

    @property
    def file_path(self) -> str:
        """The path as the application writes it."""
        return f"{BUCKET}/{self.path}"

    @property
    def invented(self) -> bool:
        """Whether the application could not read it, and made values up."""
        return self.number % 3 == 1

    @property
    def content(self) -> bytes:
        return numbered(self.number)


def of_path_and_size(upload: Upload) -> str:
    """The hash since 2025-09-05."""
    return _sha256(f"{upload.file_path}:{len(upload.content)}".encode())


def of_content(upload: Upload) -> str:
    """The hash before."""
    return _sha256(upload.content)


def of_path(upload: Upload) -> str:
    """Its fallback."""
    return _sha256(upload.file_path.encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class Shape:
    """A `therapy_sessions` of the application, with rows."""

    name: str
    files: tuple[str, ...]
    hashes: tuple[Hash, ...] = (of_content, of_path)
    statuses: tuple[str, ...] = ("completed", "completed", "processing", "failed", "reprocessing")
    fills: str = ""  # a required column that the worker's own sessions lack
    recipes: tuple[str, ...] = ()  # files of docs/sql that fill it
    looked_up: str = ""  # the column of the patient's code, and the key

    @property
    def uploads(self) -> list[Upload]:
        """The recordings that have sessions: several of each status."""
        return [Upload(number, status) for number, status in enumerate(self.statuses * 2)]

    def hash_of(self, upload: Upload) -> str:
        """The hash that the application wrote for this upload."""
        return self.hashes[upload.number % len(self.hashes)](upload)

    async def make(self, url: str) -> None:
        """Make the shape in a database, and fill it."""
        async with connected(url) as database:
            await database.execute(OLD_DEFAULT_PRIVILEGES)
            await database.execute(_UPLOADED)
            await database.copy_records_to_table(
                "uploaded",
                records=[
                    (
                        each.number,
                        each.file_path,
                        self.hash_of(each),
                        len(each.content),
                        each.code,
                        each.status,
                        UPLOADED_FROM + timedelta(minutes=each.number),
                        *(_READ, _INVENTED, _NOTHING)[each.number % 3],
                    )
                    for each in self.uploads
                ],
            )
            for file in self.files:
                await database.execute((SCHEMA / f"{file}.sql").read_text())


FIRST: Final = Shape(
    "2025-08-12",
    ("2025-08-12",),
    statuses=("completed", "completed", "processing", "failed", "pending"),
    fills="processing_version",
    recipes=("processing_version_default",),
)
NEWEST: Final = Shape(
    "newest",
    ("newest",),
    (of_path_and_size,),
    fills="session_code",
    recipes=("session_code_default", "session_code_trigger"),
    looked_up=f"{CODE}; patient_id is its id",
)
JSONB_NAMES: Final = Shape("its jsonb variant", ("split", "split_jsonb"))
MIGRATABLE: Final = (
    FIRST,
    Shape("2025-08-25", ("2025-08-25",), looked_up=f"{CODE}; patient_id is its patient_code"),
    Shape("after its own split", ("split",)),
    replace(
        NEWEST, name="2025-08-28", files=("newest", "2025-08-28"), hashes=(of_content, of_path)
    ),
    NEWEST,
)
