"""Django REST framework: authentication by bearer token, and permissions from guards.

    class Orders(APIView):
        authentication_classes = [BearerAuthentication]
        permission_classes = [permission(require_scope("orders:read"))]

Both read the setting ``AUTHKIT``, as ``authkit_verify.django.AuthMiddleware`` does, which is not needed here.
Refusals have the same status, challenge and body.
"""

from __future__ import annotations

import json
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from authkit_verify._asgi.challenge import AccessDenied, Refusal
from authkit_verify._asgi.guards import Guard, require_guards
from authkit_verify._asgi.principal import Principal
from authkit_verify.django.protection import protection
from authkit_verify.errors import TokenError

__all__ = ["BearerAuthentication", "Refused", "TokenUser", "permission"]

_SET_BY_THE_FRAMEWORK = {"www-authenticate", "retry-after", "content-type", "content-length"}


class Refused(APIException):  # type: ignore[misc] # REST framework has no types
    """The token or the caller is refused, or keys or records are unavailable: 400, 401, 403 or 503.

    Unlike ``AuthenticationFailed`` it keeps its status and challenge, wherever in ``authentication_classes``
    the class is.

    Attributes:
        refusal: The response to send.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(json.loads(refusal.body), refusal.code)
        headers = _headers(refusal)
        self.refusal = refusal
        self.status_code = refusal.status
        self.auth_header = headers.get("www-authenticate")
        self.wait = int(headers.get("retry-after", "0"))


class TokenUser:
    """The ``request.user`` of a token where the setting ``AUTHKIT["USER"]`` names no users of Django.

    It has no permissions of Django and is neither staff nor superuser.

    Attributes:
        principal: The caller.
        pk: The user id: the token's ``sub``.
    """

    is_authenticated = is_active = True
    is_anonymous = is_staff = is_superuser = False

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.pk = self.id = principal.identity

    def __str__(self) -> str:
        return self.get_username()

    def get_username(self) -> str:
        """Return the username, or else the email address, or else the user id."""
        return self.principal.display_name

    def has_perm(self, _permission: str, _object: object = None) -> bool:
        """Return False: Django's permissions belong to its own users."""
        return False

    def has_perms(self, _permissions: object, _object: object = None) -> bool:
        """Return False: Django's permissions belong to its own users."""
        return False

    def has_module_perms(self, _app_label: str) -> bool:
        """Return False: Django's permissions belong to its own users."""
        return False


class BearerAuthentication(BaseAuthentication):  # type: ignore[misc] # as above
    """Authenticates a request by its token. ``request.auth`` is the ``Principal``.

    ``request.user`` is the user that ``AUTHKIT["USER"]`` finds, or a ``TokenUser``. List it first in
    ``authentication_classes``: the first one's challenge goes with a 401 where no credentials came.
    """

    def authenticate(self, request: Request) -> tuple[Any, Principal] | None:
        """Return the user and the caller; None if no token came. Raises Refused."""
        protected = protection()
        try:
            caller = protected.identify(request)
            return None if caller is None else (protected.user_of(caller) or TokenUser(caller), caller)
        except (TokenError, AccessDenied) as error:
            raise _refused(request, error) from error

    def authenticate_header(self, request: Request) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the challenge of a request without a token."""
        missing = AccessDenied("missing_token", "this needs an access token")
        return _headers(protection().refuse(request, missing))["www-authenticate"]


def permission(*guards: Guard) -> type[BasePermission]:
    """Return a class for ``permission_classes``: every guard must let the caller pass.

    It can be combined with others by ``|``, ``&`` and ``~``; the refusal of a combination is the framework's.

    Args:
        guards: The guards; without one a valid token is enough.

    Raises:
        TypeError: What is given is no guard.
    """
    require_guards("permission", guards)
    return type("GuardPermission", (_GuardPermission,), {"guards": guards})


class _GuardPermission(BasePermission):  # type: ignore[misc] # as above
    guards: tuple[Guard, ...] = ()

    def has_permission(self, request: Request, _view: Any) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        try:
            _check(request, self.guards)
        except (TokenError, AccessDenied) as error:
            if protection().refuse(request, error).status == 503:
                raise _refused(request, error) from error  # no answer, which "~" would turn into a "yes"
            self._denial = request, error
            return False
        return True

    @property
    def message(self) -> str:
        """Raise the refusal: the framework reads this to deny a request, and knows no challenge of a 403."""
        request, error = self._denial
        raise _refused(request, error) from error


def _check(request: Request, guards: tuple[Guard, ...]) -> None:
    if request.successful_authenticator is not None and not isinstance(request.auth, Principal):
        # The token of another user than ``request.user`` must not open the view for that user.
        raise AccessDenied("missing_token", "the caller has signed in without an access token")
    protection().check(request, guards)


def _refused(request: Request, error: TokenError | AccessDenied) -> Refused:
    refusal = protection().refuse(request, error)
    view = (request.parser_context or {}).get("view")
    if view is not None:  # the framework's own handler of exceptions sends two of the headers
        others = {name: text for name, text in _headers(refusal).items() if name not in _SET_BY_THE_FRAMEWORK}
        view.headers.update(others)
    return Refused(refusal)


def _headers(refusal: Refusal) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in refusal.headers}
