"""The memory that workers share: whole numbers, whatever their writer is doing."""

from __future__ import annotations

import threading

from authkit_issuer.server.board import HALF, Board
from authkit_issuer.telemetry import measurements as names
from authkit_issuer.telemetry.tally import Tally


def test_what_a_worker_wrote_is_read_and_its_neighbours_are_not_touched() -> None:
    board, tally = Board(3), Tally()
    tally.count(names.REFUSALS.name, 5, status="400", code="é")
    tally.gauge(names.POOL_USED.name, 2)
    board.write(1, tally.numbers)
    assert board.read(1) == tally.numbers
    assert board.read(0) == board.read(2) == {}
    board.vacate(1)
    assert board.read(1) == {("authkit_http_refusals", "400", "é"): [5.0]}


def test_a_reader_never_sees_half_of_a_writing() -> None:
    board, done = Board(1), threading.Event()

    def write() -> None:
        for number in range(300):
            board.write(0, {(names.REFUSALS.name, str(code), "x"): [float(number)] for code in range(200)})
        done.set()

    threading.Thread(target=write).start()
    while not done.is_set():
        seen = {values[0] for values in board.read(0).values()}
        assert len(seen) <= 1


def test_numbers_that_do_not_fit_leave_those_from_before() -> None:
    board = Board(1)
    board.write(0, {("authkit_processes",): [1.0]})
    board.write(0, {("authkit_http_refusals", "400", "x" * HALF): [1.0]})
    assert board.read(0) == {("authkit_processes",): [1.0]}
