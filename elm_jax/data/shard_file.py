"""One shard file: records whole and checked, or a few bytes of one without reading the rest.

A piece is up to 2.4 MB and a crop of five seconds 20 kB of it, so reading pieces whole would move a
hundred times what a batch of single crops needs. Shards are array_record files of one uncompressed
record a chunk, and the format underneath is documented (Riegeli/records, file format
specification): a chunk is a header of 40 bytes and its data, and at every 64 KiB of the file stands
a block header of 24 bytes in between. So a byte of a record can be found by arithmetic.

What is read in part is not checked against the chunk's checksum; who reads records for the first
time reads them whole (:meth:`ShardFile.record`).
"""

import functools
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epath

from elm_jax import paths, staging
from elm_jax.axes import Int

BLOCK_BYTES, BLOCK_HEADER_BYTES, CHUNK_HEADER_BYTES = 1 << 16, 24, 40
# Above any record of this project: array_record keeps a buffer of this size, and reads a record
# that fits four to five times as fast as one that does not.
_READER_BUFFER_BYTES = 4 << 20
_RECORD_CHUNK, _UNCOMPRESSED = ord("r"), 0


class ShardError(OSError):
    """A shard that is gone, damaged, or other than the list of recordings says."""


class ShardFile:
    """One array_record file; any thread may read. Opens nothing until the first read.

    Args:
      path: of the file.
      records: how many it must hold.

    Attributes:
      path, records: as given.
    """

    def __init__(self, path: epath.PathLike, records: int):
        self.path, self.records = paths.of(path), records
        self._lock = threading.Lock()
        self._begins: list[int] | None = None

    @functools.cached_property
    def _local(self) -> pathlib.Path:
        """The file, or its copy on this machine: whoever reads a shard fetches it, once."""
        try:
            return staging.local(self.path)
        except FileNotFoundError as error:
            raise self.error(0, error) from error

    def error(self, position: int, reason: object) -> ShardError:
        """What is raised for a record that cannot be had."""
        return ShardError(
            f"{self.path}: record {position} cannot be read ({reason}). The shard was deleted, "
            "moved or damaged after it was written: put it back from a copy, or prepare the corpus "
            "again (python -m data_prep.prepare); then run the same command again"
        )

    def record(self, position: int, reader: Any) -> bytes:
        """A whole record, checked by its checksum.

        Args:
          position: of the record in this file.
          reader: from :meth:`open_checked`.

        Raises:
          ShardError: the file or the record cannot be read.
        """
        try:
            return reader.read([position])[0]
        except (RuntimeError, ValueError, IndexError) as error:
            raise self.error(position, error) from error

    def open_checked(self) -> Any:
        """An array_record reader.

        Raises:
          ShardError: there is no such file, or it holds another number of records.
        """
        from array_record.python.array_record_module import ArrayRecordReader

        path = self._local
        try:
            reader = ArrayRecordReader(
                os.fspath(path),
                "readahead_buffer_size:0,max_parallelism:0",
                file_reader_buffer_size=_READER_BUFFER_BYTES,
            )
            found = reader.num_records()
            if found != self.records:
                reader.read([0])  # says what is the matter with the file, if something is
        except (RuntimeError, ValueError, IndexError) as error:
            raise self.error(0, error) from error
        if found != self.records:
            raise self.error(0, f"it holds {found} records, expected {self.records}")
        return reader

    def open_direct(self) -> "DirectFile | None":
        """The file for reading in part; None where it is laid out in a way that forbids it.

        Raises:
          ShardError: it cannot be opened.
        """
        path = self._local
        try:
            file = DirectFile(path)
            with self._lock:
                if self._begins is None:
                    self._begins = list(_record_values(file, self.records))
        except OSError as error:
            raise self.error(0, error) from error
        file.begins = self._begins
        return file if len(self._begins) == self.records else None


class DirectFile:
    """A local shard, open; closed when nothing refers to it any more (see ShardReader's caches).

    Attributes:
      begins: of each record, (its chunk's first byte, where its value begins within the chunk).
    """

    def __init__(self, path: pathlib.Path):
        self._fd, self.begins = os.open(path, os.O_RDONLY), []

    def __del__(self, close=os.close):  # bound: os itself may be gone when the program ends
        if hasattr(self, "_fd"):
            close(self._fd)

    def read_into(self, out: memoryview, position: int, offset: int) -> None:
        """Fills ``out`` from the value of a record, from its byte ``offset`` on.

        Raises:
          OSError: the file ends before, or cannot be read.
        """
        begin, value = self.begins[position]
        self.read_chunk_into(out, begin, value + offset)

    def read_rows_into(
        self, out: Int[np.ndarray, "n size"], position: int, offsets: Int[np.ndarray, " n"]
    ) -> None:
        """Fills each row of ``out`` from a byte of a record's value on; one system call a row.

        Args:
          out: contiguous.
          position: of the record.
          offsets: in bytes, of each row.

        Raises:
          OSError: the file ends before, or cannot be read.
        """
        begin, value = self.begins[position]
        size = out.shape[1] * out.itemsize
        places = _place(begin, value + offsets)
        in_one_block = size <= BLOCK_BYTES - places % BLOCK_BYTES
        rows, fd, read = memoryview(out).cast("B"), self._fd, os.preadv
        table = zip(places.tolist(), in_one_block.tolist(), offsets.tolist(), strict=True)
        for row, (at, whole, offset) in enumerate(table):
            into = rows[row * size : (row + 1) * size]
            if not whole:
                self.read_chunk_into(into, begin, value + offset)
            elif (found := read(fd, (into,), at)) != size:
                raise OSError(f"{found} bytes at {at}, expected {size}")

    def read_chunk_into(self, out: memoryview, begin: int, offset: int) -> None:
        """Fills ``out`` from the chunk at ``begin``: one system call for 32 MiB at a time."""
        at, done, parts = _place(begin, offset), 0, []
        first, skipped = at, memoryview(bytearray(BLOCK_HEADER_BYTES))
        while done < len(out):
            size = min(len(out) - done, BLOCK_BYTES - at % BLOCK_BYTES)
            parts.append(out[done : done + size])
            done, at = done + size, at + size
            if done < len(out):  # at the end of a block: its successor's header comes in between
                parts.append(skipped)
                at += BLOCK_HEADER_BYTES
            if done == len(out) or len(parts) >= 1000:
                expected = sum(map(len, parts))
                if (found := os.preadv(self._fd, parts, first)) != expected:
                    raise OSError(f"{found} bytes at {first}, expected {expected}")
                first, parts = at, []


def _place(begin: int, size: Any) -> Any:
    """Where in the file the byte lies that comes ``size`` bytes into the chunk at ``begin``."""
    end = _end(begin, size)
    return end + BLOCK_HEADER_BYTES * (end % BLOCK_BYTES == 0)


def _end(begin: int, size: Any) -> Any:
    """Where ``size`` bytes of the chunk at ``begin`` end (the specification's AddWithOverhead)."""
    usable = BLOCK_BYTES - BLOCK_HEADER_BYTES
    blocks = (size + (begin + usable - 1) % BLOCK_BYTES) // usable
    return begin + size + blocks * BLOCK_HEADER_BYTES


def _record_values(file: DirectFile, records: int) -> Iterator[tuple[int, int]]:
    """Of each record: its chunk's first byte, and where in the chunk its value begins.

    Ends early at a chunk that is not one uncompressed record.
    """
    at, found = 0, 0
    head = memoryview(bytearray(CHUNK_HEADER_BYTES + 24))
    while found < records:
        file.read_chunk_into(head[:CHUNK_HEADER_BYTES], at, 0)
        data_bytes = int.from_bytes(head[8:16], "little")
        count = int.from_bytes(head[25:32], "little")
        value_bytes = int.from_bytes(head[32:40], "little")
        if head[24] == _RECORD_CHUNK:
            if count != 1 or data_bytes - value_bytes not in range(3, 24):
                return
            sizes = data_bytes - value_bytes  # the compression's letter, and two lengths
            file.read_chunk_into(head[40 : 40 + sizes], at, CHUNK_HEADER_BYTES)
            if head[40] != _UNCOMPRESSED or _varint(head, 42)[0] != value_bytes:
                return
            yield at, CHUNK_HEADER_BYTES + sizes
            found += 1
        at = _end(at, CHUNK_HEADER_BYTES + data_bytes)


def signal_span(record: bytes, key: bytes = b"signal") -> tuple[int, int]:
    """Where in a ``tf.train.Example`` the bytes of a feature begin and end.

    Parsing it as a message would copy the signal twice. The nesting is
    ``Example.features.feature[key].bytes_list.value[0]``; all of it length-delimited.

    Raises:
      ValueError: not such a message, or without such a feature.
    """
    try:
        features = dict(_fields(record, 0, len(record)))[1]
        for _, entry in _fields(record, *features):
            parts = dict(_fields(record, *entry))
            if record[slice(*parts[1])] == key:
                bytes_list = dict(_fields(record, *parts[2]))[1]
                return dict(_fields(record, *bytes_list))[1]
    except (KeyError, IndexError) as error:
        raise ValueError("no record of this project") from error
    raise ValueError(f"a record without {key.decode()!r}")


def _fields(record: bytes, at: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Number, and begin and end of the value, of each length-delimited field of a message."""
    while at < end:
        tag, at = _varint(record, at)
        size, at = _varint(record, at)
        if tag & 7 != 2 or at + size > end:
            raise ValueError("no record of this project")
        yield tag >> 3, (at, at + size)
        at += size


def _varint(record: Any, at: int) -> tuple[int, int]:
    """A number in the protocol buffers' encoding, and where the next begins."""
    value = shift = 0
    while True:
        byte = record[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
