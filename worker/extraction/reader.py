"""Decode header and parameters with the package c3d, behind guarded and typed accessors."""

from __future__ import annotations

import io
from collections.abc import Iterator

import c3d
import numpy as np

from worker.errors import UnsupportedC3DError
from worker.extraction.section import clean_section, locate_section
from worker.extraction.text import cleaned_text

TEXT_KINDS = (-1, 1)  # characters, or bytes that hold characters
INTEGER_BYTES = 2
REAL_BYTES = 4


class Metadata(c3d.Reader):  # type: ignore[misc]  # c3d publishes no types
    """What a C3D file says of itself: its header and the parameters this project reads.

    Every number leaves as a Python int or float: c3d gives 16-bit numpy scalars, which overflow.
    """

    def __init__(self, prefix: bytes, size: int) -> None:
        """Read the first bytes of a file of `size` bytes.

        Raises:
            C3DError: What stands there is no C3D metadata, or is cut off, or is malformed.
        """
        self.section = locate_section(prefix, size)
        clean = clean_section(prefix, self.section)
        try:
            super().__init__(io.BytesIO(clean))
        except MemoryError:
            raise
        except Exception as error:  # c3d raises eleven kinds for malformed input
            raise UnsupportedC3DError(
                f"The package c3d cannot decode it ({ascii(error)[:200]})."
            ) from error

    def _check_metadata(self) -> None:
        """Leave out c3d's own checks: they refuse valid files, and `python -O` removes them."""

    def header_integer(self, name: str) -> int:
        """A 16-bit header word by c3d's name for it, such as `first_frame`."""
        return int(getattr(self.header, name))

    def header_real(self, name: str) -> float:
        """A real header number by c3d's name for it: `frame_rate` or `scale_factor`."""
        return float(getattr(self.header, name))

    def integers(self, name: str, *, signed: bool = False) -> list[int]:
        """All elements of an integer parameter such as `"ANALOG:OFFSET"`; [] where absent."""
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
        """All elements of a number parameter, real or whole; [] where absent."""
        if not self.is_real(name):
            return [float(value) for value in self.integers(name, signed=signed)]
        parameter = self.get(name)
        if not parameter.bytes:
            return []
        with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
            return [float(value) for value in parameter.float32_array.flat]

    def integer(self, name: str) -> int | None:
        """The first element as a whole number, unsigned; None where absent or not whole."""
        if self.is_real(name):
            value = self.real(name)
            return int(value) if value is not None and value.is_integer() else None
        return next(iter(self.integers(name)), None)

    def real(self, name: str) -> float | None:
        """The first element as a number; None where absent."""
        return next(iter(self.numbers(name)), None)

    def is_real(self, name: str) -> bool:
        """Whether a parameter is stored as reals."""
        parameter = self.get(name)
        return parameter is not None and parameter.bytes_per_element == REAL_BYTES

    def is_text(self, name: str) -> bool:
        """Whether a parameter is stored as characters."""
        parameter = self.get(name)
        return parameter is not None and parameter.bytes_per_element == TEXT_KINDS[0]

    def texts(self, name: str) -> list[str]:
        """The rows of a text parameter, cleaned; a one-dimensional one is a single row."""
        parameter = self.get(name)
        if parameter is None or parameter.bytes_per_element not in TEXT_KINDS:
            return []
        data: bytes = parameter.bytes
        width = int(parameter.dimensions[0]) or 1
        return [cleaned_text(data[at : at + width]) for at in range(0, len(data), width)]

    def continued(self, name: str) -> Iterator[str]:
        """The parameter's own name and those it continues in: LABELS, then LABELS2, and so on."""
        number = 1
        following = name
        while self.get(following) is not None:
            yield following
            number += 1
            following = f"{name}{number}"


def shortest(value: float) -> float:
    """The number that a float32 prints shortest: 75.03030303 becomes 75.030304."""
    return float(str(np.float32(value)))
