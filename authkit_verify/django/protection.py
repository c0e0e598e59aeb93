"""The setting ``AUTHKIT``, and the admission of callers by it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

from authkit_verify._asgi.authenticator import Authenticator, authenticator_of
from authkit_verify._asgi.challenge import AccessDenied, Challenge, Refusal
from authkit_verify._asgi.credentials import uses_dpop
from authkit_verify._asgi.enrichment import enricher_for
from authkit_verify._asgi.exclusions import PathSet, is_preflight, passes_unasked
from authkit_verify._asgi.guards import Guard
from authkit_verify._asgi.principal import Principal, principal_of
from authkit_verify._asgi.required_scopes import required_scopes
from authkit_verify._asgi.sync_admission import admit, check, passing
from authkit_verify._verify.sync_verifier import SyncVerifier
from authkit_verify.config import AcceptConfig
from authkit_verify.config.values import words_of
from authkit_verify.django.request import plain, scope_of
from authkit_verify.errors import TokenError

P = ParamSpec("P")
T = TypeVar("T")

_KEYS = ("ISSUERS", "VERIFIER", "REQUIRED", "EXCLUDE", "ENRICHMENT", "REALM", "SCOPES", "USER")


class Protection:
    """Admits the callers of requests of Django and of REST framework.

    Args:
        given: The setting ``AUTHKIT``.

    Raises:
        ImproperlyConfigured: An entry is unknown or of the wrong kind.
        ValueError: A value of an entry that ``authkit_verify.AuthMiddleware`` refuses too.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        unknown = sorted(set(given) - set(_KEYS))
        if unknown:
            raise ImproperlyConfigured(f"AUTHKIT has no entry {unknown[0]!r}: there are {', '.join(_KEYS)}")
        self.verifier = _verifier(given)
        self.owns_verifier = "ISSUERS" in given
        self.required = given.get("REQUIRED", True)
        if not isinstance(self.required, bool):
            raise ImproperlyConfigured(f"AUTHKIT['REQUIRED'] is True or False, not {self.required!r}")
        self.find_user = _loaded(given.get("USER"))
        self._exclude = PathSet(given.get("EXCLUDE", ()), slash_counts=True)
        asynchronous = self.verifier.asynchronous
        named = given.get("SCOPES")
        scopes = required_scopes(asynchronous) if named is None else words_of("SCOPES", named)
        self.authenticator = Authenticator(
            challenge=Challenge(realm=given.get("REALM", "authkit"), scopes=scopes),
            verifier=asynchronous,
            enricher=enricher_for(_loaded(given.get("ENRICHMENT")), self.verifier),
        )

    def admit(self, request: Any) -> None:
        """Admit the caller of a request where its path needs one. Raises TokenError or AccessDenied."""
        scope = scope_of(request)
        if self._is_open(scope):
            self.authenticator.admit_anonymous(scope)
        else:
            _blocking(admit, self.verifier, self.authenticator, scope, required=self.required)
        self._show(request)

    async def aadmit(self, request: Any) -> None:
        """Admit the caller of a request, as ``admit`` does, without blocking the event loop."""
        scope = scope_of(request)
        if self._is_open(scope):
            self.authenticator.admit_anonymous(scope)
        else:
            await self._on_its_loop(self.authenticator.admit(scope, required=self.required))
        self._show(request)

    def identify(self, request: Any) -> Principal | None:
        """Return the caller of a request on any path, or None. Raises TokenError or AccessDenied."""
        known = self.caller_of(request)
        return known or _blocking(admit, self.verifier, self.authenticator, scope_of(request), required=False)

    def caller_of(self, request: Any) -> Principal | None:
        """Return the caller whom the issuers of the settings have admitted, or None."""
        scope = scope_of(request)
        return principal_of(scope) if self._has_admitted(scope) else None

    def check(self, request: Any, guards: tuple[Guard, ...]) -> Principal:
        """Return the caller whom every guard lets pass. Raises TokenError or AccessDenied."""
        scope = scope_of(request)
        if not self._has_admitted(scope):
            _blocking(admit, self.verifier, self.authenticator, scope, required=False)
        self._show_once(request)
        return _blocking(check, self.verifier, scope, guards)

    async def acheck(self, request: Any, guards: tuple[Guard, ...]) -> Principal:
        """Return the caller whom every guard lets pass, without blocking the event loop."""
        scope = scope_of(request)
        if not self._has_admitted(scope):
            await self._on_its_loop(self.authenticator.admit(scope, required=False))
        self._show_once(request)
        return await self._on_its_loop(passing(scope, guards))

    async def _on_its_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work on the event loop of the verifier, without this task's context: see ``_blocking``."""
        return await asyncio.create_task(self.verifier.run_async(work), context=Context())

    def passes_unasked(self, request: Any) -> bool:
        """True for a preflight that passed without a token, where every other request needs one."""
        return self.required and passes_unasked(scope_of(request), self._exclude)

    def user_of(self, caller: Principal) -> Any:
        """Return Django's user of a caller; None if the settings name no users. Raises TokenError."""
        if self.find_user is None:
            return None
        user = self.find_user(caller)
        if user is None:
            raise TokenError("user_disabled", "the user of this token does not exist here")
        if getattr(user, "is_active", True) is False:  # as Django's own backends do
            raise TokenError("user_disabled", "the user of this token is not active here")
        return user

    def refuse(self, request: Any, error: TokenError | AccessDenied) -> Refusal:
        """Return the response to an error, with the challenge of what protects this request."""
        scope = scope_of(request)
        challenge = (authenticator_of(scope) or self.authenticator).challenge
        return challenge.refuse(error, dpop=uses_dpop(scope))

    def _has_admitted(self, scope: dict[str, Any]) -> bool:
        """True if the issuers and the records of the settings were asked, and not only those in front."""
        asked, own = authenticator_of(scope), self.authenticator
        if asked is None or asked.verifier is not own.verifier:
            return False
        return own.enricher is None or asked.enricher is own.enricher

    def _is_open(self, scope: dict[str, Any]) -> bool:
        return scope in self._exclude or is_preflight(scope)

    def _show_once(self, request: Any) -> None:
        if not hasattr(plain(request), "auth"):  # it did not pass the middleware
            self._show(request)

    def _show(self, request: Any) -> None:
        """Write the caller where views look for it; ``request.user`` is Django's unless ``USER`` is set."""
        shown = plain(request)
        shown.auth = caller = self.caller_of(request)
        if caller is not None and self.find_user is not None:
            found = functools.cache(functools.partial(self.user_of, caller))
            shown.user, shown.auser = SimpleLazyObject(found), sync_to_async(found)


def _blocking(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Call what waits for the event loop of the verifier, without the context of this thread.

    By that context asgiref runs what the host's records read from a database in the thread of the request,
    which waits for them here, or in a middleware that is not asynchronous.
    """
    return Context().run(work, *given, **named)


@functools.cache
def protection() -> Protection:
    """Return the protection by the settings of this process. Raises ImproperlyConfigured."""
    given = getattr(settings, "AUTHKIT", None)
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(
            "the settings have no AUTHKIT: AUTHKIT = {'ISSUERS': [IssuerAccept(issuer=..., audiences=[...])]}"
        )
    return Protection(given)


def _setting_changed(*, setting: str, **_: Any) -> None:
    if setting == "AUTHKIT" and protection.cache_info().currsize:
        before = protection()
        protection.cache_clear()
        if before.owns_verifier:
            before.verifier.close()


setting_changed.connect(_setting_changed)  # sent by Django's override_settings


def _verifier(given: Mapping[str, Any]) -> SyncVerifier:
    if ("VERIFIER" in given) == ("ISSUERS" in given):
        raise ImproperlyConfigured("AUTHKIT needs either ISSUERS, a list of IssuerAccept, or VERIFIER")
    if "ISSUERS" in given:
        return SyncVerifier(AcceptConfig(issuers=given["ISSUERS"]))
    verifier = _loaded(given["VERIFIER"])
    if not isinstance(verifier, SyncVerifier):
        raise ImproperlyConfigured(
            f"AUTHKIT['VERIFIER'] is a SyncVerifier or its dotted path, not {verifier!r}"
        )
    return verifier


def _loaded(value: Any) -> Any:
    """Return an entry, or the object at the dotted path that it is."""
    return import_string(value) if isinstance(value, str) else value
