"""Decodes header and parameters with the package c3d, behind guarded and typed accessors."""

from __future__ import annotations

import io
from collections.abc import Iterator

import c3d
import numpy as np

from worker.extraction.errors import UnsupportedC3DError
from worker.extraction.section import clean_section, locate_section
from worker.extraction.text import cleaned_text

BYTES = 1  # the type of a parameter that holds bytes, which may be characters
REAL_BYTES = 4


class Metadata(c3d.Reader):  # type: ignore[misc]  # c3d publishes no types
    """The header of a C3D file and the parameters that this project reads.

    The accessors return Python ints and floats: c3d returns 16-bit numpy scalars, which overflow.
    """

    def __init__(self, prefix: bytes, size: int) -> None:
        """Decode the first bytes of a file of `size` bytes.

        Raises:
            NotC3DError, TruncatedC3DError, UnsupportedC3DError: `prefix` does not start with C3D
                metadata, or they are cut off or malformed.
        """
        self.section = locate_section(prefix, size)
        clean = clean_section(prefix, self.section)
        self._texts = clean.texts
        try:
            super().__init__(io.BytesIO(clean.file))
        except MemoryError:
            raise
        except Exception as error:  # c3d raises eleven classes for malformed input
            raise UnsupportedC3DError(
                f"The package c3d cannot decode it ({ascii(error)[:200]})."
            ) from error

    def _check_metadata(self) -> None:
        """Skip c3d's own checks: they refuse valid files, and `python -O` removes them."""

    def header_integer(self, name: str) -> int:
        """Return a 16-bit header word by c3d's name for it, such as `first_frame`."""
        return int(getattr(self.header, name))

    def header_real(self, name: str) -> float:
        """Return a real header number by c3d's name for it: `frame_rate` or `scale_factor`."""
        return float(getattr(self.header, name))

    def integers(self, name: str, *, signed: bool = False) -> list[int]:
        """Return all elements of an integer parameter such as `"ANALOG:OFFSET"`; [] if absent."""
        parameter = self.get(name)
        if parameter is None or not parameter.bytes:
            return []
        match parameter.bytes_per_element:
            case 2:
                values = parameter.int16_array if signed else parameter.uint16_array
            case 1:
                values = parameter.int8_array if signed else parameter.uint8_array
            case _:
                return []
        return [int(value) for value in values.flat]

    def numbers(self, name: str, *, signed: bool = True) -> list[float]:
        """Return all elements of a real or integer parameter; [] if absent."""
        if not self.is_real(name):
            return [float(value) for value in self.integers(name, signed=signed)]
        parameter = self.get(name)
        if not parameter.bytes:
            return []
        with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
            return [float(value) for value in parameter.float32_array.flat]

    def integer(self, name: str) -> int | None:
        """Return the first element as an unsigned integer; None if absent or not whole."""
        if self.is_real(name):
            value = self.real(name)
            return int(value) if value is not None and value.is_integer() else None
        return next(iter(self.integers(name)), None)

    def real(self, name: str) -> float | None:
        """Return the first element as a float; None if absent."""
        return next(iter(self.numbers(name)), None)

    def is_real(self, name: str) -> bool:
        """Whether a parameter is stored as reals."""
        parameter = self.get(name)
        return parameter is not None and parameter.bytes_per_element == REAL_BYTES

    def is_text(self, name: str) -> bool:
        """Whether a parameter is stored as characters."""
        return name in self._texts

    def texts(self, name: str) -> list[str]:
        """Return the rows of a text parameter, cleaned; a one-dimensional one has one row."""
        rows = self._texts.get(name, ())
        parameter = self.get(name)
        if parameter is not None and parameter.bytes_per_element == BYTES:
            width = int(parameter.dimensions[0]) or 1
            data: bytes = parameter.bytes
            rows = tuple(data[at : at + width] for at in range(0, len(data), width))
        return [cleaned_text(row) for row in rows]

    def continued(self, name: str) -> Iterator[str]:
        """Yield the parameter's name and those that continue it: LABELS, LABELS2, and so on."""
        number = 1
        following = name
        while following in self._texts or self.get(following) is not None:
            yield following
            number += 1
            following = f"{name}{number}"


def shortest(value: float) -> float:
    """Return `value` as the shortest number of the same float32: 75.03030303 as 75.030304."""
    return float(str(np.float32(value)))
