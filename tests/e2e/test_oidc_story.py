"""External logins end to end: our servers, a provider and a browser, all behind sockets."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from fakes.deployment import PASSWORD, Deployment, Mode, deployed
from fakes.provider import CLIENT, SECRET, LoopbackProvider

pytestmark = pytest.mark.timeout(180)

BASE, APP = "https://id.example.test", "https://app.example.test"


class Browser:
    """A browser whose every request goes to the next of our servers; it believes that they are all BASE."""

    def __init__(self, issuer: Deployment, http: httpx.Client) -> None:
        self._turn = itertools.cycle(issuer.servers)
        self._http = http
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, address: str, **options: Any) -> httpx.Response:
        """Send a request to our service, cookies included, and keep those it sets."""
        path = address.removeprefix(BASE)
        held = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"cookie": held} if held else {}
        headers |= options.pop("headers", {})
        answer = self._http.request(method, next(self._turn).url + path, headers=headers, **options)
        for text in answer.headers.get_list("set-cookie"):
            name, _, value = text.partition(";")[0].partition("=")
            self.cookies.pop(name, None)
            if "Max-Age=0" not in text:
                self.cookies[name] = value
        return answer

    def visit(self, auth_url: str) -> httpx.Response:
        """Go to the provider, which sends the browser on to our callback."""
        sent = self._http.get(auth_url)
        assert sent.status_code == 302
        return self.ask("GET", sent.headers["location"])

    def sign_in(self) -> dict[str, Any]:
        """Sign in and return what the app gets."""
        began = self.ask("GET", "/auth/oidc/loop/login?return_to=/orders")
        assert began.status_code == 302, began.text
        return self.trade(self.visit(began.headers["location"]))

    def trade(self, landed: httpx.Response) -> dict[str, Any]:
        """Trade what stands in the fragment of the app's page."""
        assert landed.headers["location"].startswith(f"{APP}/login/callback#"), landed.headers
        told = dict(parse_qsl(urlsplit(landed.headers["location"]).fragment))
        return self.ask("POST", "/auth/oidc/result", json={"code": told.get("result_code", "")}).json()


@pytest.fixture
def idp() -> Iterator[LoopbackProvider]:
    with LoopbackProvider(time.time).in_thread() as provider:
        yield provider


@pytest.fixture(params=["memory", "redis"])
def issuer(
    request, idp: LoopbackProvider, tmp_path: Path, database_url: str, redis_url: str
) -> Iterator[Deployment]:
    mode: Mode = request.param
    provider = {
        "client_id": CLIENT, "client_secret": SECRET, "issuer": idp.issuer, "allow_http_loopback": True,
        "trusts_email": True,
    }  # fmt: skip
    settings = {
        "AUTHKIT_CODE_COOLDOWN": "0",
        "AUTHKIT_PROVIDERS": json.dumps({"loop": provider}),
        "AUTHKIT_BASE_URL": BASE,
        "AUTHKIT_LINK_BASE_URL": APP,
    }
    with deployed(tmp_path, mode, database_url, redis_url, **settings) as running:
        yield running


@pytest.fixture
def browser(issuer: Deployment) -> Iterator[Browser]:
    no_jar = CookieJar(DefaultCookiePolicy(allowed_domains=()))  # each browser here keeps its own
    with httpx.Client(timeout=60, trust_env=False, cookies=no_jar) as http:
        yield Browser(issuer, http)


def test_a_person_signs_in_links_steps_up_and_meets_the_second_factor(
    issuer: Deployment, browser: Browser, idp: LoopbackProvider
) -> None:
    first = browser.sign_in()
    assert first["created"], first
    assert first["return_to"] == "/orders"
    assert [name.removeprefix("__Host-") for name in browser.cookies] == ["authkit_device"]
    me = issuer.expect(200, "GET", "/auth/user/me", token=first["access_token"])
    assert (me["email"], me["email_verified"]) == ("ada@example.test", True)
    assert browser.sign_in()["created"] is False

    # Somebody who has a password has the same address at the provider: nothing is merged, until they link.
    bob = issuer.join("bob_b")
    idp.person = {"sub": "person-2", "email": bob.email, "email_verified": True}
    began = browser.ask("GET", "/auth/oidc/loop/login")
    landed = browser.visit(began.headers["location"])
    assert "error=account_exists_link_required" in landed.headers["location"]
    bearer = {"authorization": f"Bearer {bob.access}"}
    linking = browser.ask("POST", "/auth/oidc/loop/link/start", json={}, headers=bearer)
    assert linking.status_code == 200, linking.text
    linked = browser.trade(browser.visit(linking.json()["auth_url"]))
    assert (linked["flow"], linked["linked"]) == ("link", True)
    bobs = browser.sign_in()
    assert issuer.expect(200, "GET", "/auth/user/me", token=bobs["access_token"])["id"] == bob.id

    stepping = browser.ask("POST", "/auth/step-up/oidc/loop/start", json={}, headers=bearer)
    assert stepping.status_code == 200, stepping.text
    stepped = browser.trade(browser.visit(stepping.json()["auth_url"]))
    assert "refresh_token" not in stepped
    assert issuer.expect(200, "GET", "/auth/user/me", token=stepped["access_token"])["id"] == bob.id


def test_neither_a_state_nor_a_result_serves_twice_nor_in_another_browser(
    issuer: Deployment, browser: Browser, idp: LoopbackProvider
) -> None:
    began = browser.ask("GET", "/auth/oidc/loop/login")
    thief = Browser(issuer, browser._http)
    stolen = thief.visit(began.headers["location"])
    assert "error=invalid_state" in stolen.headers["location"]
    assert "error=invalid_state" in browser.visit(began.headers["location"]).headers["location"]

    began = browser.ask("GET", "/auth/oidc/loop/login")
    landed = browser.visit(began.headers["location"])
    code = dict(parse_qsl(urlsplit(landed.headers["location"]).fragment))["result_code"]
    assert thief.ask("POST", "/auth/oidc/result", json={"code": code}).status_code == 400
    tried = browser.ask("POST", "/auth/oidc/result", json={"code": code})
    assert tried.json()["error"] == "invalid_or_expired_code"
    assert browser.sign_in()["access_token"]


def test_a_second_factor_is_asked_after_the_provider(
    issuer: Deployment, browser: Browser, idp: LoopbackProvider
) -> None:
    bob = issuer.join("bob_b")
    idp.person = {"sub": "person-2"}
    bearer = {"authorization": f"Bearer {bob.access}"}
    linking = browser.ask("POST", "/auth/oidc/loop/link/start", json={}, headers=bearer)
    browser.trade(browser.visit(linking.json()["auth_url"]))
    issuer.expect(200, "POST", "/auth/user/2fa/enable", _factor(issuer, bob), token=bob.access)
    asked = browser.sign_in()
    assert asked["error"] == "two_factor_required", asked
    challenge = asked["metadata"]
    proof = {"user_id": bob.id, "challenge": challenge["challenge"], "code": issuer.mails.code(bob.email)}
    pair = issuer.expect(200, "POST", "/auth/2fa/verify", proof)
    assert issuer.expect(200, "GET", "/auth/user/me", token=pair["access_token"])["id"] == bob.id
    assert PASSWORD not in issuer.servers[0].log()


def _factor(issuer: Deployment, person: Any) -> dict[str, str]:
    issuer.expect(200, "POST", "/auth/user/2fa/start-email", token=person.access)
    return {"method": "email", "code": issuer.mails.code(person.email)}
