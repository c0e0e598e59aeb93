"""What may be wrapped: ASGI applications, and not the endpoints of web frameworks.

A framework registers the function below its route decorator. A wrapper above the decorator would be thrown
away, and the route would be open without a word; below it, the framework would read the wrapper's parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

_PARAMETERS = ("scope", "receive", "send")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def require_application(app: object, wrapper: str, instead: str) -> None:
    """Check that ``app`` can be called as ``app(scope, receive, send)``.

    Args:
        app: The object to be wrapped.
        wrapper: The name of the wrapper, for the message.
        instead: What to write instead, for the message.

    Raises:
        TypeError: It is no ASGI application, or a function that may be an endpoint.
    """
    if not callable(app) or not _is_application(app):
        raise TypeError(
            f"{wrapper} wraps an ASGI application, app(scope, receive, send), not {app!r}. {instead}"
        )


def _is_application(app: Callable[..., Any]) -> bool:
    if inspect.isfunction(app):
        own = inspect.signature(app, follow_wrapped=False).parameters
        if tuple(own) == _PARAMETERS:
            return True  # whatever it wraps: as_asgi() of Channels names its class there
    try:
        parameters = list(inspect.signature(app).parameters.values())
    except (TypeError, ValueError):  # compiled: it does not say, and no endpoint of a framework is
        return True
    named = [one for one in parameters if one.kind in _POSITIONAL]
    others = [one for one in parameters if one.kind not in _POSITIONAL]
    if any(one.kind is one.KEYWORD_ONLY and one.default is one.empty for one in others):
        return False
    if not named:
        # A decorator hides the parameters of its function; an object that takes anything is no endpoint.
        takes_any = any(one.kind is one.VAR_POSITIONAL for one in others)
        return takes_any and not inspect.isroutine(app)
    # An endpoint may have three parameters as well, but not under these names: no framework fills them.
    first = tuple(one.name.lstrip("_") for one in named[:3])
    return first == _PARAMETERS and all(one.default is not one.empty for one in named[3:])
