"""The parent of workers: crash loops are bounded, and a worker whose loop hangs is killed."""

from __future__ import annotations

import subprocess
import sys
import textwrap

PARENT = """
import logging, os, signal, socket, sys, time
from authkit_issuer.errors import StartupError
from authkit_issuer.server import workers
from authkit_issuer.server.worker_link import READY

logging.basicConfig(format="%(message)s")
signal.signal(signal.SIGTERM, lambda *_: parent.to(1))

reading, writing = os.pipe()

def all_are_ready():
    os.write(writing, b"." * 100)

def ends_soon(link, place):
    link.send(READY)
    os.read(reading, 1)  # until the parent has heard of every worker
    os._exit(3)

def hangs(link, place):
    link.send(READY)
    time.sleep(600)

def stays(link, place):
    link.send(READY)
    while not link.recv(1):
        pass
    time.sleep(600)

class StopsWhenItSays(logging.Handler):
    def __init__(self, words):
        super().__init__()
        self.words = words

    def emit(self, record):
        if self.words in record.getMessage():
            parent.to(1)

def stop_once(done):
    def look(*_):
        if done():
            parent.to(1)
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
"""


def outcome(program: str) -> subprocess.CompletedProcess[str]:
    whole = PARENT + textwrap.dedent(program)
    return subprocess.run(
        [sys.executable, "-c", whole], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_crash_loop_slows_down_and_ends() -> None:
    done = outcome("""
        workers.LONGEST_PAUSE = 0.2
        parent = workers.Workers(2, ends_soon, patience=1)
        try:
            parent.run(all_are_ready)
        except StartupError as error:
            print(error)
    """)
    # The last worker may find its parent gone, and say so.
    lines = [line for line in done.stderr.splitlines() if "another one starts" in line]
    assert 6 <= len(lines) <= workers_of_a_loop(), done.stderr
    assert lines[0].endswith("ended with status 3; another one starts in 0 s")
    assert lines[-1].endswith("another one starts in 0.2 s")
    assert done.stdout.splitlines()[-1].startswith("No worker lives for long, after ")
    assert done.stdout.splitlines()[-1].endswith("tries: A worker ended with status 3.")


def workers_of_a_loop() -> int:
    from authkit_issuer.server.workers import MAX_FAILURES

    return MAX_FAILURES + 2


def test_a_worker_that_gives_no_sign_of_life_is_killed_and_replaced() -> None:
    done = outcome("""
        workers.PATIENCE = 0.5
        parent = workers.Workers(1, hangs, patience=0.5)
        logging.getLogger().addHandler(StopsWhenItSays("another one starts"))
        parent.run(lambda: print("ready"))
        print("ended")
    """)
    assert done.stdout.split() == ["ready", "ended"], done.stderr
    assert "has not answered for 0.5 s: it is killed" in done.stderr
    assert "ended by SIGKILL; another one starts in 0 s" in done.stderr


def test_a_machine_without_room_for_a_worker_ends_none_of_the_others() -> None:
    done = outcome("""
        import errno
        workers.LONGEST_PAUSE = 0.2
        fork, ready, refused = os.fork, [], []

        def sometimes():
            if ready and len(refused) < 3:
                refused.append(1)
                raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
            return fork()

        def begun():
            ready.append(1)
            os.kill(min(parent._running), signal.SIGKILL)

        def whole_again():
            return len(refused) == 3 and len(parent._running) == 2

        os.fork = sometimes
        parent = workers.Workers(2, stays, patience=0.2)
        stop_once(whole_again)
        parent.run(begun)
        print(len(refused))
    """)
    assert done.stdout.split() == ["3"], done.stderr
    assert "A worker cannot be started: resource temporarily unavailable. It is tried" in done.stderr


def test_a_worker_that_does_not_stop_is_killed() -> None:
    done = outcome("""
        parent = workers.Workers(2, stays, patience=0.3)
        parent.run(lambda: parent.to(1))
        print("ended")
    """)
    assert done.stdout.split() == ["ended"], done.stderr
    assert done.stderr.count("does not stop: it is killed") == 2
