"""The numbers of every worker, in memory that they share: any of them can answer for all."""

from __future__ import annotations

import mmap
import struct
import zlib

import msgspec

from authkit_issuer.telemetry.tally import Numbers, Series, counted

HALF = 2 * 1024 * 1024
"""Bytes for one copy of the numbers of one worker; the pages that it does not use cost nothing."""

_HEAD = struct.Struct("!II")
"""The length of a copy and its checksum."""
_Lines = list[tuple[Series, list[float]]]
_decoder = msgspec.json.Decoder(_Lines)


class Board:
    """A place for each worker with two copies of its numbers: one is whole even if the worker is killed."""

    def __init__(self, workers: int) -> None:
        """Reserve the memory, before the workers are forked."""
        self.workers = workers
        self._memory = mmap.mmap(-1, workers * (1 + 2 * HALF))

    def write(self, place: int, numbers: Numbers) -> None:
        """Publish the numbers of a worker; numbers that do not fit leave those from before."""
        text = msgspec.json.encode(list(numbers.items()))
        if len(text) > HALF - _HEAD.size:
            return
        start, current = self._start(place), self._memory[self._start(place)]
        at = start + 1 + (1 - current) * HALF
        _HEAD.pack_into(self._memory, at, len(text), zlib.crc32(text))
        self._memory[at + _HEAD.size : at + _HEAD.size + len(text)] = text
        self._memory[start] = 1 - current

    def read(self, place: int) -> Numbers:
        """Return the numbers that a worker published last."""
        start = self._start(place)
        for _ in range(3):  # its worker may write twice while they are read
            at = start + 1 + self._memory[start] * HALF
            length, checksum = _HEAD.unpack_from(self._memory, at)
            text = self._memory[at + _HEAD.size : at + _HEAD.size + min(length, HALF)]
            if length and zlib.crc32(text) == checksum:
                return dict(_decoder.decode(text))
        return {}

    def vacate(self, place: int) -> None:
        """Keep what an ended worker has counted, and forget the rest: its successor counts on from there."""
        self.write(place, counted(self.read(place)))

    @staticmethod
    def _start(place: int) -> int:
        return place * (1 + 2 * HALF)
