"""The picture of a recording: whatever a file holds, it is drawn, and says what it shows."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from worker.drawing.canvas import DARK, LIGHT, Canvas, Colour
from worker.drawing.picture import WIDTH, draw, number, printable
from worker.drawing.raster import Raster
from worker.drawing.vector import Vector
from worker.extraction.envelope import Envelope, Mark
from worker.extraction.running_envelope import RunningEnvelope

NOISE = np.random.default_rng(7).standard_normal((2, 3000))
HOSTILE = "</text><script>alert(1)</script><!-- &amp; ]]>\" ' \x00\x1b[31m\u202e\ud800"
SCRIPTS = "肌電図 ЭМГ Ηλεκτρομυογράφημα תרשים مخطط คลื่น ईएमजी 근전도 😀 " * 4
SVG = "{http://www.w3.org/2000/svg}"
KINDS: Sequence[Callable[[int, int], Canvas]] = (Raster, Vector)


def _envelope(
    samples: np.ndarray,
    *,
    rate: float | None = 1000.0,
    name: str = "CH1 Raw",
    note: str = "",
    marks: Sequence[Mark] = (),
) -> Envelope:
    channels, length = samples.shape
    running = RunningEnvelope(channels, length)
    running.add(samples.astype(np.float64))
    notes = [note] * channels
    return running.finish([name] * channels, ["mV"] * channels, rate, notes=notes, marks=marks)


def _texts(envelope: Envelope | None, title: str = "Session 1") -> list[str]:
    root = ET.fromstring(draw(envelope, title, Vector))
    return ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]


def _pixels(envelope: Envelope) -> np.ndarray:
    image = Image.open(io.BytesIO(draw(envelope, "Session 1", Raster)))
    image.load()
    return np.asarray(image.convert("RGB"))


def _count(pixels: np.ndarray, colour: Colour) -> int:
    rgb = [int(LIGHT[colour][at : at + 2], 16) for at in (1, 3, 5)]
    return int((pixels == rgb).all(axis=2).sum())


@pytest.mark.parametrize("make", KINDS, ids=["png", "svg"])
@pytest.mark.parametrize(
    "envelope",
    [
        pytest.param(_envelope(NOISE[:, :1]), id="one sample"),
        pytest.param(_envelope(NOISE[:, :2]), id="two samples"),
        pytest.param(_envelope(np.full((1, 500), 3.5)), id="one constant"),
        pytest.param(_envelope(np.zeros((1, 500))), id="zeros"),
        pytest.param(_envelope(np.full((1, 500), np.nan)), id="nothing finite"),
        pytest.param(
            _envelope(np.array([[np.nan, 1, np.inf, -np.inf, 2, 1e308]])), id="not finite"
        ),
        pytest.param(_envelope(np.zeros((300, 50))), id="300 channels"),
        pytest.param(_envelope(NOISE[:, :3], rate=1.0), id="3 s at 1 Hz"),
        pytest.param(_envelope(NOISE, rate=100_000.0), id="100 kHz"),
        pytest.param(_envelope(NOISE, rate=3000 / 28_800), id="8 hours"),
        pytest.param(_envelope(NOISE, rate=None), id="no rate"),
        pytest.param(_envelope(NOISE * 1e-38), id="tiny"),
        pytest.param(_envelope(NOISE, name=""), id="no name"),
        pytest.param(_envelope(NOISE, name="n" * 200), id="a name of 200 characters"),
        pytest.param(_envelope(NOISE, name=SCRIPTS), id="every script"),
        pytest.param(_envelope(NOISE, name=HOSTILE), id="hostile"),
        pytest.param(_envelope(NOISE, note=HOSTILE), id="a hostile note"),
        pytest.param(
            _envelope(NOISE, marks=[Mark(0, -5.0, 900.0, "dropout"), Mark(1, 9e9, 9e9, "clipped")]),
            id="marks out of range",
        ),
        pytest.param(None, id="no samples"),
    ],
)
def test_whatever_a_recording_holds_is_drawn(make: type[Canvas], envelope: Envelope | None) -> None:
    picture = draw(envelope, "Session 1", make)
    if make is Vector:
        ET.fromstring(picture)
    else:
        image = Image.open(io.BytesIO(picture))
        image.load()
        assert image.width == WIDTH


def test_hostile_text_stays_text() -> None:
    picture = draw(_envelope(NOISE, name=HOSTILE), HOSTILE, Vector)
    tags = {each.tag.removeprefix(SVG) for each in ET.fromstring(picture).iter()}
    assert tags == {"svg", "style", "rect", "text", "path"}
    assert b"<script" not in picture
    assert b"\x1b" not in picture


def test_what_cannot_be_printed_is_left_out() -> None:
    assert printable("a\u202e\u200bb\n\x00 c\ud800") == "a b c"


def test_a_long_name_is_cut_and_a_short_one_is_not() -> None:
    assert "1. CH1 Raw" in _texts(_envelope(NOISE))
    assert any(text.endswith("…") for text in _texts(_envelope(NOISE, name="n" * 200)))


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.0, "0"), (0.0183, "0.0183"), (999.4, "999"), (999.6, "1,000"), (-32767.0, "-32,767")],
)
def test_a_number_is_as_short_as_one_can_read_it(value: float, text: str) -> None:
    assert number(value) == text


def test_it_says_how_many_channels_it_shows() -> None:
    assert "2 channels · 3 s at 1,000 Hz · 3,000 samples each" in _texts(_envelope(NOISE))
    assert any(
        "300 channels, the first 128 drawn" in text
        for text in _texts(_envelope(np.zeros((300, 50))))
    )


def test_the_axis_is_in_seconds_or_in_samples_where_the_rate_is_unknown() -> None:
    assert {"0", "1", "2", "3", "time in s"} <= {*_texts(_envelope(NOISE))}
    assert "samples; the file states no rate" in _texts(_envelope(NOISE, rate=None))


def test_lost_samples_and_clipping_are_shaded_where_they_are() -> None:
    plain = _pixels(_envelope(NOISE))
    assert _count(plain, Colour.DROPOUT) == _count(plain, Colour.CLIPPED) == 0
    marks = [Mark(0, 1.0, 1.5, "dropout"), Mark(1, 0.5, 0.6, "clipped")]
    marked = _pixels(_envelope(NOISE, marks=marks))
    upper, lower = marked[104:324], marked[334:554]  # the rows
    assert _count(upper, Colour.DROPOUT) > 10_000
    assert _count(upper, Colour.CLIPPED) == 0
    assert _count(lower, Colour.CLIPPED) > 400
    assert _count(lower, Colour.DROPOUT) == 0
    assert {"samples lost", "clipped"} <= {*_texts(_envelope(NOISE, marks=marks))}


def test_lost_samples_do_not_hide_the_signal_around_them() -> None:
    samples = NOISE.copy()
    samples[:, 1500:1600] = -100.0
    marks = [Mark(0, 1.5, 1.6, "dropout"), Mark(1, 1.5, 1.6, "dropout")]
    hidden = _count(_pixels(_envelope(samples)), Colour.SIGNAL)
    seen = _count(_pixels(_envelope(samples, marks=marks)), Colour.SIGNAL)
    assert seen > 5 * hidden


def test_a_gap_of_the_signal_is_a_gap_of_the_picture() -> None:
    samples = NOISE.copy()
    samples[:, 1000:2000] = np.nan
    blue = (_pixels(_envelope(samples)) == [0x00, 0x72, 0xB2]).all(axis=2).any(axis=0)
    assert not blue[830:1160].any()
    assert blue[500]
    assert blue[1300]


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_can_be_read(colours: dict[Colour, str]) -> None:
    def luminance(colour: Colour) -> float:
        parts = [int(colours[colour][at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for paper in (Colour.PAPER, Colour.ROW):
        for text, least in (
            (Colour.INK, 4.5),
            (Colour.SOFT, 4.5),
            (Colour.ALERT, 4.5),
            (Colour.SIGNAL, 3),
        ):
            dark, bright = sorted((luminance(paper), luminance(text)))
            assert (bright + 0.05) / (dark + 0.05) >= least, (paper, text)
