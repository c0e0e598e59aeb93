"""The keys behind a token that its issuer was asked about: in use only while the answer counts."""

from __future__ import annotations

from authkit_verify._jose.keys import KeySet, KeyState
from authkit_verify._jwks.issuer_keys import IssuerKeys
from authkit_verify._policy.introspection.answers import Answer
from authkit_verify._policy.introspection.introspector import Introspector

NO_KEYS = KeySet()
"""The set of an opaque token, which no key verifies."""


class LiveKeys:
    """What a cached token rests on: the answer about it, and for a JWT also the keys of its issuer."""

    __slots__ = ("_answer", "_introspector", "_keys", "_opaque")

    def __init__(self, introspector: Introspector, answer: Answer, keys: IssuerKeys, *, opaque: bool) -> None:
        self._introspector = introspector
        self._answer = answer
        self._keys = keys
        self._opaque = opaque

    def current_set(self) -> KeySet | None:
        """Return the set in use; None once the answer does not count any more."""
        if not self._introspector.counts(self._answer) or self._keys.is_retired():
            return None
        return NO_KEYS if self._opaque else self._keys.current_set()

    def state(self) -> KeyState:
        """Return the state of the set that ``current_set`` has just returned."""
        if self._opaque:
            return KeyState(source="introspection", age=self._introspector.age(self._answer))
        return self._keys.state()

    def check_in_use(self) -> None:
        """Raise the refusal of a token whose issuer was removed while its verification waited."""
        self._keys.check_in_use()
