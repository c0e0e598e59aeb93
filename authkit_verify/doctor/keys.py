"""Check a published key set with the verifier's own reader, one key at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from authkit_verify._jose.jwk import MAX_KEYS, UnusableDocument, is_private, read_jwk, read_jwks
from authkit_verify._jose.key_strength import UnusableKey
from authkit_verify._jose.keys import MAX_CANDIDATES, Key
from authkit_verify._jwks.fetch import MAX_BYTES
from authkit_verify._verify.explain.explanation import MAX_ITEMS, shortened
from authkit_verify.config.tenants import may_name
from authkit_verify.doctor.report import Finding


def check_keys(document: bytes, accepted: frozenset[str], issuer: str | None = None) -> Iterator[Finding]:
    """Yield the findings about a key set and each of its keys, for the accepted algorithms.

    ``issuer`` is the only one that the keys are used for; None for one with tenants.
    """
    try:
        reading = read_jwks(document)
    except UnusableDocument as error:
        yield _no_key_set(document, error)
        return
    members: list[Any] = json.loads(document.decode("utf-8-sig"))["keys"]
    usable = len(reading.keys)
    size = f"{len(members)} keys in {len(document)} bytes, {usable} of them usable"
    yield Finding("ok", "key_set", f"The key set has {size}.")
    if len(members) > MAX_KEYS:
        yield Finding("warning", "too_many_keys", f"The verifier reads only the first {MAX_KEYS} keys.")
    if len(document) > MAX_BYTES // 2:
        yield Finding(
            "warning",
            "key_set_large",
            f"It has {len(document)} bytes; above {MAX_BYTES} the verifier refuses it.",
        )
    for number, member in enumerate(members[:MAX_KEYS]):
        yield from _check_key(number, member, issuer)
    if not usable:
        yield Finding(
            "error",
            "no_usable_key",
            "No key of the set can verify tokens.",
            "Publish an RSA, EC or Ed25519 key.",
        )
        return
    yield from _check_key_ids(reading.keys.keys)
    yield from _check_algorithms(reading.keys.keys, accepted)


def _no_key_set(document: bytes, error: UnusableDocument) -> Finding:
    try:
        json.loads(document.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        page = " It looks like a web page." if document.lstrip()[:1] == b"<" else ""
        return Finding("error", "not_json", f"{_sentence(error)}{page}", "Check jwks_url.")
    return Finding("error", "not_a_key_set", _sentence(error), "Check jwks_url.")


def _check_key(number: int, member: Any, issuer: str | None) -> Iterator[Finding]:
    kid = member.get("kid") if isinstance(member, dict) else None
    name = f"Key {number}" + (f" ({shortened(ascii(kid))})" if isinstance(kid, str) else "")
    if is_private(member):
        yield Finding(
            "error", "private_key_published", f"{name} is published with its private part.",
            "Every reader of the set can sign tokens: replace the key at once.",
        )  # fmt: skip
    try:
        key = read_jwk(member)
    except UnusableKey as reason:
        if isinstance(member, dict) and member.get("use") == "enc":
            yield Finding("ok", "key_for_other_use", f"{name} is skipped: {reason}.")
        else:
            yield Finding(
                "warning", "key_unusable", f"{name} is skipped: {reason}.", "Tokens it signs are refused."
            )
        return
    if issuer is not None and key.issuer is not None and not may_name(key.issuer, issuer):
        yield Finding(
            "warning", "key_of_other_issuer",
            f"{name} is published for another issuer, {shortened(ascii(key.issuer))}.",
            "Tokens of this issuer that it signs are refused.",
        )  # fmt: skip
        return
    yield Finding("ok", "key_usable", f"{name} verifies {', '.join(sorted(key.algorithms))}.")


def _check_key_ids(keys: tuple[Key, ...]) -> Iterator[Finding]:
    if len(keys) > 1 and any(key.kid is None for key in keys):
        yield Finding(
            "warning", "kid_missing", "A key has no id.",
            f"It verifies only tokens without a kid, if at most {MAX_CANDIDATES} keys fit their algorithm.",
        )  # fmt: skip
    holders: dict[str, set[bytes]] = {}
    for key in keys:
        if key.kid is not None:
            holders.setdefault(key.kid, set()).add(key.digest)
    repeated = [kid for kid, digests in holders.items() if len(digests) > 1]
    if repeated:
        yield Finding(
            "warning", "kid_repeated", f"Several keys share an id: {_list(repeated)}.",
            f"At most {MAX_CANDIDATES} keys are tried for one token.",
        )  # fmt: skip
    nameless = sum(not _has_one_algorithm(key) for key in keys)
    if nameless:
        yield Finding(
            "warning", "alg_missing", f"{nameless} keys have no alg.",
            "They verify every accepted algorithm of their type.",
        )  # fmt: skip


def _check_algorithms(keys: tuple[Key, ...], accepted: frozenset[str]) -> Iterator[Finding]:
    offered = frozenset[str]().union(*(key.algorithms for key in keys))
    if not offered & accepted:
        yield Finding(
            "error", "no_key_for_algorithms",
            f"The keys are for {_list(sorted(offered))}; accepted are {_list(sorted(accepted))}.",
            "Set algorithms to those with which the issuer signs.",
        )  # fmt: skip
        return
    yield Finding("ok", "algorithms", f"Accepted, with a key: {_list(sorted(offered & accepted))}.")
    limited = [key.algorithms for key in keys if _has_one_algorithm(key)]
    refused = frozenset[str]().union(*(names for names in limited if not names & accepted))
    if refused:
        yield Finding(
            "warning", "algorithm_not_accepted",
            f"The issuer has keys for {_list(sorted(refused))}, which is not accepted.",
            "Tokens signed with them are refused; add them to algorithms if they should pass.",
        )  # fmt: skip


def _has_one_algorithm(key: Key) -> bool:
    return len(key.algorithms - {"Ed25519"}) == 1  # which is another name of EdDSA (RFC 9864)


def _list(words: list[str]) -> str:
    more = f" and {len(words) - MAX_ITEMS} more" if len(words) > MAX_ITEMS else ""
    return ", ".join(shortened(ascii(word)) for word in words[:MAX_ITEMS]) + more


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
