"""Bytes → text: which encoding a file is in, and whether all of it really is."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from sbert_cluster.corpus.legacy import NAMES, likely_code_pages
from sbert_cluster.errors import InputError, UsageError

_SAMPLE_BYTES = 256 * 1024

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    # UTF-32 first: its little-endian mark starts with that of UTF-16.
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

_C1 = re.compile("[\x7f-\x9f]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f]+")
_C0 = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_NOT_TEXT = {
    b"PK\x03\x04": ("a ZIP archive or an Excel workbook", "Save it as CSV first."),
    b"PAR1": ("a Parquet file", "Add --format parquet."),
    b"ARROW1": ("an Arrow file", "Add --format arrow."),
}


@dataclass(frozen=True)
class Decoded:
    """The text of a file."""

    text: str
    """Without byte-order mark."""
    encoding: str
    """Python codec name without byte-order mark."""
    byte_order_mark: bool = False
    """Whether there was one."""
    note: str | None = None
    """A sentence for the user where the encoding is not UTF-8."""


def decode(data: bytes, encoding: str | None, name: str) -> Decoded:
    """Decode a whole file strictly.

    Looks, in this order, at the byte-order mark, UTF-16 without mark, UTF-8, and the code pages of
    old. A guessed code page must decode every byte and yield no control characters.

    Args:
        data: The file, decompressed.
        encoding: Codec that the user named; None: detect.
        name: The file's name, for errors and the note.

    Raises:
        UsageError: If there is no such encoding.
        InputError: If the bytes are not in it, or in none that is known.
    """
    for magic, (what, remedy) in _NOT_TEXT.items():
        if data.startswith(magic):
            raise InputError(f"{name} is {what}, not text", remedy)
    if encoding is not None:
        return _decode_as(data, encoding, name)
    for mark, codec in _MARKS.items():
        if data.startswith(mark):
            text = _strict(data[len(mark) :], codec, name)
            return Decoded(text, codec, byte_order_mark=True, note=_note(name, codec))
    return _decode_unmarked(data, name)


def _decode_as(data: bytes, encoding: str, name: str) -> Decoded:
    codec = _codec_name(encoding)
    for mark, marked in _MARKS.items():
        if data.startswith(mark) and codec in (marked, marked[:-3], f"{marked}-sig"):
            text = _strict(data[len(mark) :], marked, name)
            return Decoded(text, marked, byte_order_mark=True)
    codec = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(codec, codec)
    return Decoded(_strict(data, codec, name), codec)


def _codec_name(encoding: str) -> str:
    try:
        codec = codecs.lookup(encoding).name
        "".encode(codec)  # raises LookupError for codecs such as base64
    except (LookupError, ValueError):
        raise UsageError(
            f"--encoding {encoding!r} is not known",
            "Use a name such as utf-8, utf-16, cp1252, shift_jis or gb18030.",
        ) from None
    return codec


def _strict(data: bytes, codec: str, name: str) -> str:
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise _not_in(codec, data, error, name) from None
    except UnicodeError as error:
        raise InputError(
            f"{name} is not {codec} ({error})", "Name another encoding with --encoding."
        ) from None


def _decode_unmarked(data: bytes, name: str) -> Decoded:
    codec = _utf16_order(data)
    if codec:
        return Decoded(data.decode(codec), codec, note=_note(name, codec))
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError as error:
        codec = None if _is_damaged_utf8(data) else _legacy(data)
        if codec is None:
            raise _not_in("utf-8", data, error, name) from None
    return Decoded(data.decode(codec), codec, note=_note(name, codec))


def _utf16_order(data: bytes) -> str | None:
    """Name of the UTF-16 codec if the bytes look like it, without byte-order mark."""
    nuls = [data[parity::2].count(0) for parity in (0, 1)]
    if len(data) % 2 or max(nuls) <= 2 * min(nuls) or max(nuls) < len(data) / 100:
        return None
    # NULs are allowed in UTF-8 data, so valid UTF-8 must begin like a UTF-16 header to count.
    if _decodes(data, "utf-8") and data[:2].count(0) != 1:
        return None
    codec = "utf-16-le" if nuls[1] > nuls[0] else "utf-16-be"
    return codec if _decodes(data, codec) and _is_clean(data.decode(codec)) else None


def _legacy(data: bytes) -> str | None:
    """Name of the likeliest code page that holds the whole file; None if there is none."""
    for codec in likely_code_pages(_telling_lines(data)):
        if _decodes(data, codec) and _is_clean(data.decode(codec)):
            return codec
    return None


def _is_damaged_utf8(data: bytes) -> bool:
    """Whether most bytes above 127 are UTF-8, so that the others are damage, not a code page."""
    text = data.decode("utf-8", errors="replace")
    bad = text.count("\ufffd")
    return sum(map(len, _BEYOND_ASCII.findall(text))) >= 5 * bad


def _telling_lines(data: bytes) -> bytes:
    """The lines with a byte above 127, up to 256 kB: ASCII tells nothing about a code page."""
    lines = []
    size = 0
    for line in data.split(b"\n"):
        if not line.isascii():
            lines.append(line[:_SAMPLE_BYTES])
            size += len(line)
        if size > _SAMPLE_BYTES:
            break
    return b"\n".join(lines)


def _decodes(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeError:
        return False
    return True


def _is_clean(text: str) -> bool:
    """Whether there are no C1 control characters, and at most one C0 in a thousand."""
    body = text.removesuffix("\x1a")  # the end-of-file mark of DOS
    return not _C1.search(body) and len(_C0.findall(body)) <= len(body) // 1000


def _note(name: str, codec: str) -> str | None:
    if codec == "utf-8":
        return None
    return f"{name} is read as {NAMES.get(codec, codec.upper())} (--encoding names another)"


def _not_in(codec: str, data: bytes, error: UnicodeDecodeError, name: str) -> InputError:
    where = f"byte 0x{data[error.start]:02X} at offset {error.start:,}"
    if codec == "utf-8":
        return InputError(
            f"{name} is not UTF-8: {where}",
            "Convert it (iconv -f ... -t utf-8), or name the encoding with --encoding.",
        )
    return InputError(f"{name} is not {codec}: {where}", "Name another encoding with --encoding.")
