"""A client of ClickHouse's HTTP interface."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import httpx

from authkit_issuer import errors

if TYPE_CHECKING:
    from typing import Self

Parameter = str | int | Sequence[str]

_CODE = "x-clickhouse-exception-code"
# The interface reads the value of a parameter as a field of the format TabSeparated.
_FIELD = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
_QUOTED = str.maketrans({"\\": "\\\\", "'": "\\'", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})

logger = logging.getLogger("authkit.clickhouse")


class ClickHouseUnavailable(errors.Unavailable):
    """ClickHouse did not answer, or refused; ``reason`` contains no rows and no credentials."""

    def __init__(self, reason: str) -> None:
        """Keep the reason for the operator."""
        super().__init__("The event store cannot be reached right now.")
        self.reason = reason


class ClickHouse:
    """One server and the user to connect as; shared by loggers and readers.

    Args:
        url: the HTTP interface, usually on port 8123 or 8443.
        user: the ClickHouse user.
        password: its password.
        database: the default database of queries.
        client: an HTTP client, which the host closes; without one, a client that uses no proxy is opened.
        timeout: seconds for a whole answer.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str = "default",
        password: str = "",
        database: str = "default",
        client: httpx.AsyncClient | None = None,
        timeout: float = 10.0,
    ) -> None:
        """Check the arguments, or raise ``ConfigError``; nothing connects yet."""
        self._url = _address(url)
        if ":" in user:
            raise errors.ConfigError(f"The ClickHouse user {user!r} contains a colon: use another user.")
        self._auth = httpx.BasicAuth(user, password)
        self._database = database
        self._client = client
        self._own: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._timeout = timeout

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return the server of a URL that contains user and password, as settings do.

        Raises ``ConfigError``, whose message does not repeat the URL.
        """
        parts = _parsed(url)
        bare = str(parts.copy_with(userinfo=b""))
        return cls(bare, user=parts.username or "default", password=parts.password)

    def __repr__(self) -> str:
        """Return the URL without credentials."""
        return f"ClickHouse({str(self._url)!r})"

    async def __aenter__(self) -> Self:
        """Return the server itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the client that was opened here."""
        if self._own is not None:
            await self._own.aclose()

    async def execute(
        self, query: str, *, settings: Mapping[str, str | int] | None = None, data: bytes = b""
    ) -> None:
        """Run a statement and wait for its end; ``data`` is the input of an insert."""
        await self._ask({"query": query, **(settings or {})}, data)

    async def select(self, query: str, **parameters: Parameter) -> bytes:
        """Return the answer to a query, in the format it names.

        Values never become part of the query, which names them: ``{user:String}``.
        """
        named = {f"param_{name}": _parameter(value) for name, value in parameters.items()}
        return await self._ask(named, query.encode())

    async def _ask(self, arguments: Mapping[str, str | int], body: bytes) -> bytes:
        """Send one request; raises ``ClickHouseUnavailable`` unless the server completed it."""
        client = self._client or self._own or await self._open()
        # Without waiting for the end, an error may follow a status of 200.
        arguments = {"database": self._database, "wait_end_of_query": 1, **arguments}
        try:
            async with asyncio.timeout(self._timeout):
                answer = await client.post(
                    self._url, params=arguments, content=body, auth=self._auth, follow_redirects=False
                )
        except (httpx.HTTPError, TimeoutError) as error:
            problem = type(error).__name__
        else:
            if answer.status_code == 200 and _CODE not in answer.headers:
                return answer.content
            problem = f"status {answer.status_code}, code {_number(answer.headers.get(_CODE))}"
        logger.warning("no success: %s", problem)
        # Not chained: the request attached to the client's error contains the credentials.
        raise ClickHouseUnavailable(problem)

    async def _open(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._own is None:
                # Loading the certificates of the machine blocks for a while.
                self._own = await asyncio.to_thread(httpx.AsyncClient, trust_env=False, timeout=self._timeout)
            return self._own


def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL:
        return httpx.URL()


def _address(url: str) -> httpx.URL:
    address = _parsed(url)
    named = bool(address.host) and "%" not in address.host
    # An @ in the path ends a password that contains an unescaped slash.
    plain = "@" not in address.path and not address.query and not address.fragment
    if address.scheme not in {"http", "https"} or not named or not plain:
        raise errors.ConfigError(
            "The address of ClickHouse must be an http or https URL without a query; escape what is special."
        )
    if address.userinfo:
        raise errors.ConfigError(
            "The address of ClickHouse contains credentials: pass them apart, or use from_url."
        )
    return address


def _parameter(value: Parameter) -> str | int:
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        return value.translate(_FIELD)
    return "[" + ",".join(f"'{entry.translate(_QUOTED)}'" for entry in value) + "]"


def _number(text: str | None) -> str:
    """Return the text if it is a short number, which may be logged."""
    return text if text is not None and text.isascii() and text.isdigit() and len(text) < 8 else "unknown"
