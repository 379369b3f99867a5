"""A canvas that becomes a PNG. Pillow writes texts and the file; the rest is slices of an array."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from worker.drawing.canvas import LIGHT, Anchor, Colour
from worker.extraction.samples import Values

FONT = "DejaVuSans.ttf"  # knows many scripts; found where the system has it
FALLBACK = str.maketrans("µμΩ", "uuO")  # Pillow's own font knows hardly more than ASCII
BORDER = 2  # pixels around the paper, which end it on a white page
SHADES = 7  # of a text's colour, the paper's lightness in all but the last
RGB = {colour: ImageColor.getrgb(LIGHT[colour])[:3] for colour in Colour}
# A pixel is a number of the palette: each colour has SHADES of them, the full one last.
PALETTE = [
    under + (over - under) * shade // SHADES
    for colour in Colour
    for shade in range(1, SHADES + 1)
    for under, over in zip(RGB[Colour.PAPER], RGB[colour], strict=True)
]
PIXEL = {colour: (place + 1) * SHADES - 1 for place, colour in enumerate(Colour)}


class Raster:
    """Pixels, with the light colours: an opaque paper is readable on any page."""

    def __init__(self, width: int, height: int) -> None:
        """Begin with an empty paper of this size in pixels."""
        self._pixels = np.full((height, width), PIXEL[Colour.GRID], np.uint8)
        self._pixels[BORDER:-BORDER, BORDER:-BORDER] = PIXEL[Colour.PAPER]
        self._fonts: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}
        self._translated = False

    def rectangle(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Fill a rectangle."""
        rows, columns = slice(round(y), round(y + height)), slice(round(x), round(x + width))
        self._pixels[rows, columns] = PIXEL[colour]

    def text(
        self, x: float, y: float, text: str, *, size: int, colour: Colour, anchor: Anchor = "start"
    ) -> None:
        """Write one line of any text, its middle at the height `y`."""
        font, known = self._font(size), self._known(text)
        width, height = round(self.width(text, size)) + size, 2 * size
        written = Image.new("L", (width, height))
        ImageDraw.Draw(written).text((0, size), known, 255, font=font, anchor="lm")
        left, top = round(x if anchor == "start" else x - width + size), round(y) - size
        page = self._pixels[max(top, 0) : top + height, max(left, 0) : left + width]
        rows, columns = page.shape
        strength = np.asarray(written)[max(-top, 0) :, max(-left, 0) :][:rows, :columns]
        shade = (strength.astype(np.uint16) * SHADES + 127) // 255
        np.copyto(page, (PIXEL[colour] - SHADES + shade).astype(np.uint8), where=shade > 0)

    def width(self, text: str, size: int) -> float:
        """Return how wide a text is."""
        return self._font(size).getlength(self._known(text))

    def band(self, x: int, tops: Values, bottoms: Values) -> None:
        """Draw a signal: one column of a pixel for each pair, from `x` on; NaN is a gap."""
        if np.isnan(tops).all():
            return
        first, last = int(np.nanmin(tops)), int(np.nanmax(bottoms)) + 1
        rows = np.arange(first, last)[:, None]
        page = self._pixels[first:last, x : x + len(tops)]
        page[(rows >= np.floor(tops)) & (rows < np.ceil(bottoms))] = PIXEL[Colour.SIGNAL]

    def encoded(self) -> bytes:
        """Return the picture as a file holds it."""
        image = Image.fromarray(self._pixels)
        image.putpalette(PALETTE)
        file = io.BytesIO()
        image.save(file, "PNG")
        return file.getvalue()

    def _font(self, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        if size not in self._fonts:
            try:
                self._fonts[size] = ImageFont.truetype(FONT, size)
            except OSError:
                self._fonts[size] = ImageFont.load_default(size)
                self._translated = True
        return self._fonts[size]

    def _known(self, text: str) -> str:
        return text.translate(FALLBACK) if self._translated else text
