"""gzip and zstd around a file, both ways."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from sbert_cluster.errors import InputError

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = tuple(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60))


def decompress(data: bytes, name: str) -> tuple[bytes, str]:
    """Undo gzip or zstd, told by the first bytes: names are often wrong.

    Args:
        data: The file as it lies on disk.
        name: The file's name, for the error.

    Returns:
        The content, and ``gz``, ``zst`` or ``""``.

    Raises:
        InputError: If the stream is broken or cut off.
    """
    if data.startswith(_GZIP):
        return _gunzip(data, name), "gz"
    if data.startswith((_ZSTD, *_ZSTD_SKIPPABLE)):
        return _unzstd(data, name), "zst"
    return data, ""


@contextmanager
def compressed(file: IO[bytes], compression: str) -> Iterator[IO[bytes]]:
    """A binary file whose content arrives compressed in ``file``.

    Args:
        file: Where the bytes go; stays open.
        compression: ``gz``, ``zst`` or ``""``.

    Yields:
        The file to write to.
    """
    if compression == "gz":
        import gzip

        # No name and no time inside: the same rows make the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as gz:
            yield cast(IO[bytes], gz)
    elif compression == "zst":
        import zstandard

        with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as zst:
            yield cast(IO[bytes], zst)
    else:
        yield file


def _gunzip(data: bytes, name: str) -> bytes:
    import gzip

    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise _broken(name, "gzip", error) from None


def _unzstd(data: bytes, name: str) -> bytes:
    import zstandard

    parts = []
    try:
        while data:
            # Frame by frame: the stream reader says nothing about a frame that is cut off.
            frame = zstandard.ZstdDecompressor().decompressobj()
            parts.append(frame.decompress(data))
            if not frame.eof:
                raise EOFError("the stream ends before its end marker")
            data = frame.unused_data
    except (EOFError, zstandard.ZstdError) as error:
        raise _broken(name, "zstd", error) from None
    return b"".join(parts)


def _broken(name: str, kind: str, error: Exception) -> InputError:
    return InputError(
        f"{name} is not a readable {kind} file ({error})", "Copy or compress the file again."
    )
