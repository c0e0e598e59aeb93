"""Groups of operations: shared options, a decorator per method, and the collection of all groups."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, get_args, get_type_hints

from authkit_issuer.errors.declared import declared
from authkit_issuer.http.operations import Auth, Call, Limit, Method, Operation, OrgGate, Tag
from authkit_issuer.http.raw_response import RawResponse

if TYPE_CHECKING:
    from typing import Unpack

    from authkit_issuer.domains.sessions.service import Account
    from authkit_issuer.errors import AuthError
    from authkit_issuer.service import Service

Handler = TypeVar("Handler", bound=Callable[[Call[Any, Any]], Awaitable[Any]])


class Options(TypedDict, total=False):
    """What an operation may say beside its path; as in ``Operation``, except for ``calls``."""

    name: str
    tag: Tag
    auth: Auth
    offered: Callable[[Service], bool] | None
    limit: Limit | None
    fresh: bool | Callable[[Account], bool]
    enrolls: bool | Callable[[Service], bool]
    org: OrgGate | None
    signs_out: bool
    or_refresh_token: bool
    status: int
    calls: tuple[Callable[..., Any], ...]
    """The methods of capabilities that the handler calls: their declared refusals are documented."""
    errors: tuple[type[AuthError], ...]
    """The refusals of the handler itself."""
    returns: type[Any]
    """The documented type, for a handler whose annotation does not name one."""
    omit_none: bool
    oauth: bool
    form: bool
    redirect: int | None
    cors: bool
    document: bool
    media_types: tuple[str, ...]


class Routes:
    """The operations of one file: a handler joins them by a decorator, and says its own types."""

    def __init__(self, **shared: Unpack[Options]) -> None:
        """Keep the options that the operations share; each may replace them."""
        self._shared = shared
        self.operations: list[Operation] = []

    def get(self, path: str, summary: str, **own: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Answer GET, and HEAD where the operation does not redirect."""
        return self._add("GET", path, summary, own)

    def post(self, path: str, summary: str, **own: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Answer POST."""
        return self._add("POST", path, summary, own)

    def patch(self, path: str, summary: str, **own: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Answer PATCH."""
        return self._add("PATCH", path, summary, own)

    def put(self, path: str, summary: str, **own: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Answer PUT."""
        return self._add("PUT", path, summary, own)

    def delete(self, path: str, summary: str, **own: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Answer DELETE."""
        return self._add("DELETE", path, summary, own)

    def _add(self, method: Method, path: str, summary: str, own: Options) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            options: dict[str, Any] = {**self._shared, **own}
            kinds = [kind for called in options.pop("calls", ()) for kind in declared(called)]
            options["errors"] = tuple(dict.fromkeys([*kinds, *options.get("errors", ())]))
            options = {"name": _camel_case(handler.__name__), **_types(handler), **options}
            self.operations.append(
                Operation(method=method, path=path, summary=summary, handler=handler, **options)
            )
            return handler

        return add


def collect(package: ModuleType) -> tuple[Operation, ...]:
    """Return the operations of every module of a package, in the order of the documentation.

    Raises:
        LookupError: A module has no ``routes``, so that nothing of it would be served.

    """
    found: list[Operation] = []
    for entry in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if entry.ispkg:
            continue
        routes = getattr(importlib.import_module(entry.name), "routes", None)
        if not isinstance(routes, Routes) or not routes.operations:
            raise LookupError(f"{entry.name} has no operations: it must define routes = Routes(...).")
        found += routes.operations
    order = get_args(Tag)
    return tuple(sorted(found, key=lambda operation: order.index(operation.tag)))


def _types(handler: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of body, parameters and response, as the handler's annotations say them."""
    hints = get_type_hints(handler)
    returned = hints.pop("return")
    (call,) = hints.values()
    body, params = get_args(call)
    named = [kind for kind in get_args(returned) or (returned,) if kind is not RawResponse]
    return {"body": body, "params": params, **({"returns": named[0]} if named else {})}


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
