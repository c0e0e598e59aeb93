"""The one rule of an email address: dot-atom local part, host name by IDNA 2008, folded to one spelling."""

from __future__ import annotations

import re
import unicodedata

import idna

from authkit_issuer import errors

MAX_EMAIL = 254
MAX_LOCAL_PART = 64
_MAILTO = "mailto:"
# RFC 5322 section 3.2.3, without its comments: what needs no quoting in any mail header.
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def email(text: str) -> str:
    """Return the normal form of an email address, or raise ``InvalidEmail`` with the rule it breaks.

    The local part is a dot-atom in lower case, the host name is in A-labels (IDNA 2008). What comes with a
    pasted address is trimmed: blanks, angle brackets, ``mailto:``, a comma or semicolon at the end. A mail
    header that holds the result names one recipient, in whatever way it is read.
    """
    local, at, host = _pasted_address(text).rpartition("@")
    if not at or not local or not host:
        raise _not_an_email("An email address has a name, one @ and a domain, as in ada@example.com.")
    if len(local) > MAX_LOCAL_PART:
        raise _not_an_email(f"The part before the @ has more than {MAX_LOCAL_PART} characters.")
    # Before the letter case is changed: the Kelvin sign, for one, has an ASCII small letter.
    if local.startswith("-") or not _DOT_ATOM.fullmatch(local):
        raise _not_an_email(
            "The part before the @ may hold ASCII letters, digits and !#$%&'*+/=?^_`{|}~-, and single dots "
            "between them; it does not start with a hyphen."
        )
    value = f"{local.lower()}@{_mail_host(host)}"
    if len(value) > MAX_EMAIL:
        raise _not_an_email(f"The email address has more than {MAX_EMAIL} characters.")
    return value


def displayed_email(address: str) -> str:
    """Return a stored address for people to read, with the A-labels of its host name decoded."""
    local, at, host = address.rpartition("@")
    return f"{local}{at}{'.'.join(map(_displayed_label, host.split('.')))}"


def _displayed_label(label: str) -> str:
    try:
        return idna.ulabel(label) if label.startswith("xn--") else label
    except UnicodeError:
        return label


def _pasted_address(text: str) -> str:
    """Return the address inside what a mail program or a web page puts on the clipboard."""
    inside = text.strip().rstrip(",; ")
    if inside.startswith("<") and inside.endswith(">"):
        inside = inside[1:-1].strip()
    return inside[len(_MAILTO) :] if inside[: len(_MAILTO)].lower() == _MAILTO else inside


def _mail_host(text: str) -> str:
    """Return the host name in A-labels, or raise ``InvalidEmail``."""
    if len(text) > MAX_EMAIL:
        raise _not_an_email(f"The email address has more than {MAX_EMAIL} characters.")
    # The Kelvin sign and its like become ASCII here: that name is another one than the user reads.
    if any(not char.isascii() and _folded(char).isascii() for char in text):
        raise _not_an_email("The domain has a character that only looks like an ASCII one.")
    labels = [_mail_label(label) for label in _folded(text).split(".")]
    if len(labels) < 2 or labels[-1].isdigit():
        raise _not_an_email("The domain must be a full host name, as in ada@example.com; no IP address.")
    return ".".join(labels)


def _mail_label(label: str) -> str:
    if label.isascii() and not label.startswith("xn--"):
        if _HOST_LABEL.fullmatch(label):
            return label
        raise _not_an_email(
            "A label of the domain has 1 to 63 letters, digits and hyphens, and no hyphen at either end."
        )
    try:
        return idna.alabel(label).decode("ascii")
    except UnicodeError:
        raise _not_an_email("The domain is not a host name by IDNA 2008.") from None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


def _not_an_email(message: str) -> errors.InvalidEmail:
    return errors.InvalidEmail(message, param="email")
