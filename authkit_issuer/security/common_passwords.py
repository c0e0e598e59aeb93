"""Passwords that everybody tries first.

``common_passwords.txt.gz`` is the list of zxcvbn 4.5 for Python (MIT, its notice stands on top of the file)
in lower case, without entries shorter than four characters and without those that are another entry with a
short tail.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib import resources

LONGEST_TAIL = 4
_TAIL = "0123456789!?.*#$@_-"


def is_common(password: str) -> bool:
    """True if the password is on the list, in any letter case or with a short tail such as ``2024!``.

    The first call reads the list from disk.
    """
    word = password.casefold()
    stem = word.rstrip(_TAIL)
    known = _words()
    return word in known or (len(word) - len(stem) <= LONGEST_TAIL and stem in known)


@cache
def _words() -> frozenset[str]:
    data = resources.files("authkit_issuer.security").joinpath("common_passwords.txt.gz").read_bytes()
    lines = gzip.decompress(data).decode().splitlines()
    return frozenset(line for line in lines if line and not line.startswith("# "))
