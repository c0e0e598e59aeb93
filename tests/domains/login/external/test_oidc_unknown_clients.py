"""A certified OpenID Connect provider that knows nothing of us: the npm package ``oidc-provider``."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx
import pytest

from authkit_issuer.config import ProviderConfig
from authkit_issuer.domains.login.external.service import CallbackParameters, CallbackResult
from authkit_issuer.errors import ProviderDenied, ProviderRefused
from authkit_issuer.service import Service
from fakes import node

BASE = "https://id.example.test"
CALLBACK = f"{BASE}/auth/oidc/generic/callback"
SECRET = "s3cret+with/odd:characters % and=more&of-them"

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def issuer() -> Iterator[str]:
    node.need("oidc-provider")
    with node.serving("provider.mjs", CALLBACK, SECRET) as url:
        yield url


@dataclass
class Person:
    """Somebody at a browser: answers the provider's pages with a name, and agrees to everything."""

    service: Service
    name: str
    browser: httpx.AsyncClient

    async def visit(self, auth_url: str) -> dict[str, str]:
        """Go through the provider's pages until it sends the browser back."""
        answer = await self.browser.get(auth_url)
        for _ in range(20):
            if "location" in answer.headers:
                place = urljoin(str(answer.url), answer.headers["location"])
                if place.startswith(BASE):
                    assert place.startswith(f"{CALLBACK}?"), place
                    return dict(parse_qsl(urlsplit(place).query))
                answer = await self.browser.get(place)
                continue
            assert answer.status_code == 200, answer.text
            form = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="([^"]+)"', answer.text)
            assert form, answer.text
            assert prompt, answer.text
            data = {"prompt": prompt[1], "login": self.name, "password": "any"}
            answer = await self.browser.post(urljoin(str(answer.url), form[1]), data=data)
        raise AssertionError("the provider never sent the browser back")

    async def land(self, change: dict[str, str] | None = None, **wish: Any) -> CallbackResult:
        begun = await self.service.oidc_login.begin("generic", **wish)
        back = await self.visit(begun.auth_url) | (change or {})
        back.pop("error_description", None)
        cookies = ((begun.cookie.name, begun.cookie.value),)
        return await self.service.oidc_login.finish(
            "generic", CallbackParameters(**back, cookies=cookies), directly=True
        )


@pytest.fixture(params=["basic", "post"])
async def person(request, make_service, issuer) -> AsyncIterator[Person]:
    config = ProviderConfig(
        client_id=request.param,
        client_secret=SECRET,
        issuer=issuer,
        allow_http_loopback=True,
        trusts_email=True,
    )
    service = await make_service(providers={"generic": config}, base_url=BASE, clock=time.time)
    async with httpx.AsyncClient(trust_env=False, timeout=30) as browser:
        yield Person(service, "ada", browser)


async def test_people_sign_in_with_it_again_and_again(person: Person) -> None:
    service = person.service
    first = await person.land()
    assert first.refusal is None
    assert first.opened is not None
    assert first.opened.pair is not None
    assert first.opened.created
    user = await service.users.get(first.opened.pair.user_id)
    assert user is not None
    assert (user.email, user.email_verified, user.username) == ("ada@example.test", True, "ada_l")
    again = await person.land()
    assert again.opened is not None
    assert again.opened.pair is not None
    assert (again.opened.pair.user_id, again.opened.created) == (user.id, False)
    # Somebody else, whose address the provider does not vouch for.
    person.browser.cookies.clear()
    person.name = "eve"
    other = await person.land()
    assert other.opened is not None
    assert other.opened.pair is not None
    eve = await service.users.get(other.opened.pair.user_id)
    assert eve is not None
    assert (eve.email, eve.username) == (None, "eve_l")


async def test_it_names_itself_in_every_answer_as_it_promises(person: Person) -> None:
    assert isinstance((await person.land({"iss": "https://evil.example"})).refusal, ProviderRefused)
    begun = await person.service.oidc_login.begin("generic")
    back = await person.visit(begun.auth_url)
    del back["iss"]
    returned = CallbackParameters(**back, cookies=((begun.cookie.name, begun.cookie.value),))
    assert isinstance((await person.service.oidc_login.finish("generic", returned)).refusal, ProviderRefused)


async def test_it_refuses_a_code_of_another_login_and_says_what_it_does_not_like(person: Person) -> None:
    begun = await person.service.oidc_login.begin("generic")
    stolen = (await person.visit(begun.auth_url))["code"]
    # PKCE: the verifier belongs to another login.
    assert isinstance((await person.land({"code": stolen})).refusal, ProviderRefused)
    begun = await person.service.oidc_login.begin("generic")
    back = await person.visit(begun.auth_url.replace("scope=openid", "prompt=none&max_age=0&scope=openid"))
    returned = CallbackParameters(
        state=back["state"], error=back["error"], iss=back["iss"],
        cookies=((begun.cookie.name, begun.cookie.value),),
    )  # fmt: skip
    refusal = (await person.service.oidc_login.finish("generic", returned)).refusal
    assert isinstance(refusal, ProviderDenied)
    assert refusal.metadata == {"provider_error": "login_required"}


async def test_it_asks_for_the_login_again_when_a_user_steps_up(person: Person) -> None:
    landed = await person.land()
    assert landed.opened is not None
    assert landed.opened.pair is not None
    pair = landed.opened.pair
    who = {"user_id": pair.user_id, "session_id": pair.session_id}
    stepped = await person.land(flow="step_up", **who)
    assert stepped.refusal is None, stepped.refusal
    assert stepped.opened is not None
    assert stepped.opened.access is not None
    claims = await person.service.tokens.verify(stepped.opened.access.token)
    assert claims.session_id == pair.session_id
