"""Files made to break a reader are refused, quickly and with a reason."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from worker.extraction.errors import C3DError, NotC3DError, TruncatedC3DError, UnsupportedC3DError
from worker.extraction.metadata import TechnicalMetadata, read_metadata
from worker.extraction.section import PREFIX_BYTES
from worker.local.recordings import MIPS, Raw, Value, ghostly_recording, record, recording

FOUR_CHANNELS = np.zeros((20, 4))
SESSION = ghostly_recording(2.0)


def read(file: bytes) -> TechnicalMetadata:
    return read_metadata(file[:PREFIX_BYTES], len(file))


def patched(position: int, replacement: bytes, file: bytes = SESSION) -> bytes:
    return file[:position] + replacement + file[position + len(replacement) :]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("session.c3d", SESSION)
    return buffer.getvalue()


PDF = b"%PDF-1.4\n" + b"% padding line\n" * 4000
PDF_OF_A_KIND = patched(36 * 512 + 3, bytes([84]), PDF)  # where the processor type would stand

NOT_C3D = {
    "empty": b"",
    "one byte": b"\2",
    "magic only": b"\2\x50",
    "zeros": bytes(512),
    "511 bytes": SESSION[:511],
    "ones": b"\xff" * 65536,
    "magic and ones": b"\2\x50" + b"\xff" * 65536,
    "text": b"Lorem ipsum dolor\n" * 5000,
    "text with the magic byte": b"aP" + b"lorem ipsum\n" * 5000,
    "zip": zipped(),
    "pdf": PDF,
    "pdf with a processor type": PDF_OF_A_KIND,
    "pointer 0": patched(0, b"\0"),
    "pointer 1": patched(0, b"\1"),
    "processor 83": patched(512 + 3, b"\x53"),
}


@pytest.mark.parametrize("file", NOT_C3D.values(), ids=NOT_C3D.keys())
def test_what_is_not_a_c3d_is_called_so(file: bytes) -> None:
    with pytest.raises(NotC3DError):
        read(file)


@pytest.mark.parametrize("length", [512, 515, 1024, 1535, 1536, 2000])
def test_a_file_cut_off_in_its_metadata_is_truncated(length: int) -> None:
    with pytest.raises(TruncatedC3DError):
        read(SESSION[:length])


def test_a_pointer_beyond_the_file_is_a_truncation() -> None:
    with pytest.raises(TruncatedC3DError, match="ends before its parameters at byte 130,048"):
        read(patched(0, b"\xff"))


@pytest.mark.parametrize(
    "dimensions",
    [(0, 255, 255, 255), (255,) * 4, (1,) * 40, (0,) * 40, (255,) * 255],
    ids=lambda dimensions: f"{dimensions[-1]}^{len(dimensions)}",
)
def test_a_label_bomb_is_refused_at_once(dimensions: tuple[int, ...]) -> None:
    bomb = Raw(-1, dimensions, b"A" * 300)
    file = recording(FOUR_CHANNELS, groups={"ANALOG": {"LABELS": bomb}})
    started = time.process_time()
    tracemalloc.start()
    with pytest.raises(UnsupportedC3DError, match="ANALOG:LABELS"):
        read(file)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000  # bytes; most of them are pytest's
    tracemalloc.stop()
    assert time.process_time() - started < 1  # second of processor time


@pytest.mark.parametrize("dimensions", [(0, 255), (255, 0), (0,), (0, 0)])
def test_labels_without_a_character_are_blank_names(dimensions: tuple[int, ...]) -> None:
    file = recording(FOUR_CHANNELS, groups={"ANALOG": {"LABELS": Raw(-1, dimensions, b"")}})
    assert read(file).channel_names == ("", "", "", "")


@pytest.mark.parametrize("dimensions", [(255, 255), (200, 100)])
def test_labels_whose_bytes_are_missing_are_refused(dimensions: tuple[int, ...]) -> None:
    file = recording(FOUR_CHANNELS, groups={"ANALOG": {"LABELS": Raw(-1, dimensions, b"A" * 300)}})
    with pytest.raises(UnsupportedC3DError, match="'ANALOG:LABELS' is cut short"):
        read(file)


def test_labels_may_be_as_long_as_the_section() -> None:
    names = [f"{number:<130}" for number in range(255)]
    names[7] = "R.Sartorius".ljust(129, ".") + "x"
    metadata = read(recording(np.zeros((20, 255)), labels=names))
    assert metadata.channel_names == tuple(name.strip() for name in names)


def test_numbers_longer_than_a_pointer_reaches_are_refused() -> None:
    scales = Raw(2, (255, 100), bytes(51_000))
    file = recording(FOUR_CHANNELS, groups={"ANALOG": {"SCALE": scales}})
    with pytest.raises(UnsupportedC3DError, match="51,004 bytes"):
        read(file)


@pytest.mark.parametrize("kind", [0, 3, 8, -2, -128, 127])
def test_an_unknown_type_is_refused_where_the_parameter_is_needed(kind: int) -> None:
    file = recording(FOUR_CHANNELS, groups={"ANALOG": {"LABELS": Raw(kind, (4,), b"A" * 600)}})
    with pytest.raises(UnsupportedC3DError):
        read(file)


def with_record(raw: bytes, file_size: int = 200_000) -> bytes:
    """A recording whose section starts with a record of one's own."""
    file = recording(FOUR_CHANNELS, header={"data_block": 3}, groups={"POINT": {"DATA_START": 3}})
    section = file[512:516] + raw + file[516:1024]
    return (file[:512] + section).ljust(file_size, b"\0")


@pytest.mark.parametrize("offset", [-1, -2, -3, -100, -32768, 1, 2, 3, 32767])
def test_a_pointer_that_leads_astray_ends_in_a_refusal(offset: int) -> None:
    raw = struct.pack("bb", 4, 2) + b"EVIL" + struct.pack("<h", offset) + bytes([1, 0, 0, 0])
    started = time.process_time()
    with pytest.raises(C3DError):
        read(with_record(raw))
    assert time.process_time() - started < 1  # second of processor time


def test_a_name_that_leads_out_of_the_section_is_refused_where_parameters_are_missed() -> None:
    filler = record("NOTE", 9, b"\xff\1\xff" + b"x" * 255 + b"\xe0" + b"x" * 224)
    with pytest.raises(UnsupportedC3DError, match="leads out of the section"):
        read(with_record(filler + b"\x7f\2" + b"NAME"))


def test_a_section_without_room_for_its_rebuilding_is_refused() -> None:
    analog: dict[str, Value] = {f"SCALE{number}": [1.0] * 255 for number in range(2, 99)}
    # Values of no dimension get one: two bytes more each.
    analog |= {f"UNITS{number}": 1 for number in range(2, 99)}
    analog |= {f"OFFSET{number}": [1] * 255 for number in range(2, 51)}
    file = recording(FOUR_CHANNELS, groups={"ANALOG": analog})
    assert read(file).channel_count == 4
    room = 255 * 512 - len(file[512 : 512 + file[514] * 512].rstrip(b"\0")) - 20
    analog["OFFSET51"] = Raw(1, (100, room // 100), bytes(room // 100 * 100))
    with pytest.raises(UnsupportedC3DError, match="longer than 255 blocks"):
        read(recording(FOUR_CHANNELS, groups={"ANALOG": analog}))


def test_whatever_c3d_raises_is_the_project_s_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OverflowError("as c3d might")

    monkeypatch.setattr("c3d.Reader.__init__", broken)
    with pytest.raises(UnsupportedC3DError, match=r"cannot decode it.*as c3d might"):
        read(SESSION)


def test_a_section_full_of_tiny_records_costs_little() -> None:
    raw = record("P", 1, b"\1\0\1\0") * 9000
    file = recording(FOUR_CHANNELS)
    section = (bytes([1, 0x50, 255, 84]) + raw).ljust(255 * 512, b"\0")[: 255 * 512]
    file = (file[:16] + b"\0\0" + file[18:512] + section) + bytes(20 * 16)
    started = time.process_time()
    assert read(file).frame_count == 20
    assert time.process_time() - started < 1  # second of processor time


@pytest.mark.parametrize("processor", [84, MIPS])
@pytest.mark.parametrize("events", [19, 255, 65535])
def test_impossible_event_counts_do_no_harm(events: int, processor: int) -> None:
    file = recording(FOUR_CHANNELS, header={"events": events}, processor=processor)
    assert read(file).frame_count == 20


def test_the_first_of_duplicate_parameters_counts() -> None:
    twice = record("RATE", 2, b"\4\0" + struct.pack("<f", 5.0) + b"\0")
    file = recording(FOUR_CHANNELS)
    end = file.index(b"GEN_SCALE") - 2
    assert read(file[:end] + twice + file[end : 1024 - len(twice)] + file[1024:]).row() == (
        read(file).row()
    )


def test_parameters_of_a_repeated_group_are_found() -> None:
    file = recording(FOUR_CHANNELS, groups={"OTHER": {"NOTE": "x"}})
    assert read(file.replace(b"OTHER", b"POINT")).frame_count == 20


def test_groups_that_share_a_number_are_refused_where_parameters_are_missed() -> None:
    file = recording(FOUR_CHANNELS)
    end = file.index(b"ANALOG")
    with pytest.raises(UnsupportedC3DError, match="'ANALOG' has the number of another"):
        read(file[: end - 1] + b"\xff" + file[end:])  # ANALOG is group 1, too


def test_a_section_that_counts_too_few_blocks_is_read_to_the_data() -> None:
    file = recording(FOUR_CHANNELS, groups={"FIRST": {"NOTE": "x" * 255}})
    labels = [f"{'a long name':50}{number}" for number in range(4)]
    file = recording(FOUR_CHANNELS, labels=labels, groups={"ANALOG": {"UNITS": ["V" * 100] * 4}})
    assert file[512 + 2] > 1
    assert read(patched(512 + 2, b"\1", file)).row() == read(file).row()


@pytest.mark.parametrize("blocks", [0, 255])
def test_a_wrong_count_of_parameter_blocks_does_no_harm(blocks: int) -> None:
    assert read(patched(512 + 2, bytes([blocks]))).row() == read(SESSION).row()


@pytest.mark.parametrize(
    "start", [SESSION[:1536], b"\2\x50", b""], ids=["session", "magic", "zero"]
)
def test_a_sparse_file_of_two_gigabytes_is_refused(start: bytes) -> None:
    prefix = start.ljust(PREFIX_BYTES, b"\0")
    with pytest.raises(C3DError):
        read_metadata(prefix, 2**31 - 1)


def test_random_bytes_after_the_magic_are_refused() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        with pytest.raises(C3DError):
            read(b"\2\x50" + random.bytes(5000))
