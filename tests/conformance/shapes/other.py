"""Files that are no recordings."""

from __future__ import annotations

import io
import zipfile

from tests.conformance.shape import Shape, usual

PDF = b"%PDF-1.4\n" + b"% a line of no meaning\n" * 4000


def zipped() -> bytes:
    """A zip archive that holds the usual file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("recording.c3d", usual())
    return buffer.getvalue()


MANUAL = "Documents/notesforprogrammersc3dheader"  # how a C3D is recognised

SHAPES = (
    Shape("an empty file", MANUAL, lambda: b"", None),
    Shape("a header and nothing else", MANUAL, lambda: usual()[:512], None),
    Shape("zeros", MANUAL, lambda: bytes(100_000), None),
    Shape("a PDF, whose second byte is that of a C3D", MANUAL, lambda: PDF, None),
    Shape("a zip archive of a recording", MANUAL, zipped, None),
    Shape("a text", MANUAL, lambda: b"frame,time,x,y,z\n" * 5000, None),
)
