"""Four processes over one PostgreSQL and one Redis, or a Cluster: races have one winner across them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from fakes.deployment import PASSWORD, UNLIMITED, Deployment, Person, deployed

pytestmark = pytest.mark.timeout(300)

PROCESSES = 4
ALLOWED, ASKED = 10, 18
"""Calls of one limit, and how often it is called."""
SETTINGS = {
    "AUTHKIT_ORG_MODE": "multi",
    "AUTHKIT_RATE_LIMITS": json.dumps(
        json.loads(UNLIMITED)
        | {"auth_sessions_list": f"{ALLOWED}/1h", "auth_sessions_list:account": "1000/1h"}
    ),
}
Call = Callable[[int], httpx.Response]


@pytest.fixture(params=["redis_url", "redis_cluster"])
def issuer(
    request: pytest.FixtureRequest, tmp_path: Path, database_url: str, rounds: Callable[[int], int]
) -> Iterator[Deployment]:
    if request.param == "redis_cluster" and rounds(10) == 1:
        pytest.skip("a soak has the Cluster, too")
    found = request.getfixturevalue(request.param)
    redis = found if isinstance(found, str) else found.url
    with deployed(tmp_path, "redis", database_url, redis, count=PROCESSES, **SETTINGS) as deployment:
        yield deployment


def at_once(count: int, call: Call) -> list[httpx.Response]:
    """Return the answers to so many calls that run at the same time, each at the next process."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(call, range(count)))


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    found = Counter(answer.status_code for answer in answers)
    assert max(found) < 500, [answer.text for answer in answers if answer.status_code >= 500]
    return found


def code_has_one_winner(issuer: Deployment, number: int) -> None:
    address = f"code_{number}@example.test"
    who = {"identifier": address, "username": f"code_{number}", "password": PASSWORD}
    started = issuer.expect(202, "POST", "/auth/register", who)
    proof = {
        "email": address,
        "code": issuer.mails.code(address),
        "registration_id": started["registration_id"],
    }
    confirmed = at_once(12, lambda _: issuer.ask("POST", "/auth/email/verify/confirm", proof))
    assert statuses(confirmed)[200] == 1


def names_have_one_owner(issuer: Deployment, people: list[Person], number: int) -> None:
    def rename(caller: int) -> httpx.Response:
        body = {"username": f"wanted_{number}"}
        return issuer.ask("PATCH", "/auth/user/username", body, token=people[caller].access)

    def found(caller: int) -> httpx.Response:
        return issuer.ask("POST", "/auth/orgs", {"slug": f"slug-{number}"}, token=people[caller].access)

    assert statuses(at_once(len(people), rename))[200] == 1
    assert statuses(at_once(len(people), found))[201] == 1


def exchange(issuer: Deployment, refresh: str) -> httpx.Response:
    return issuer.ask("POST", "/auth/token", {"grant_type": "refresh_token", "refresh_token": refresh})


def token_has_one_successor(issuer: Deployment, person: Person) -> None:
    answers = at_once(30, lambda _: exchange(issuer, person.refresh))
    assert statuses(answers) == {200: 30}
    (person.refresh,) = {answer.json()["refresh_token"] for answer in answers}


def nothing_outlives_a_sign_out(issuer: Deployment, person: Person) -> None:
    issuer.log_in(person)

    def call(number: int) -> httpx.Response:
        if number == 3:
            return issuer.ask("DELETE", "/auth/logout", token=person.access)
        return exchange(issuer, person.refresh)

    answers = at_once(8, call)
    assert answers[3].status_code == 200
    successors = {answer.json().get("refresh_token") for answer in answers if answer.status_code == 200}
    statuses(answers)
    for token in (person.refresh, *filter(None, successors)):
        refused = at_once(PROCESSES, lambda _, token=token: exchange(issuer, token))  # type: ignore[misc]
        assert statuses(refused) == {400: PROCESSES}
    signed_out = at_once(PROCESSES, lambda _: issuer.ask("GET", "/auth/user/me", token=person.access))
    assert statuses(signed_out) == {401: PROCESSES}


def test_races_over_four_processes_have_one_winner(issuer: Deployment, rounds: Callable[[int], int]) -> None:
    people = [issuer.join(f"user_{number}") for number in range(8)]
    leaver = issuer.join("leaver")
    assert len({server.url for server in issuer.servers}) == PROCESSES
    for number in range(rounds(10)):
        code_has_one_winner(issuer, number)
        names_have_one_owner(issuer, people, number)
        token_has_one_successor(issuer, people[number % 8])
        nothing_outlives_a_sign_out(issuer, leaver)
    issuer.log_in(people[0])
    counted = at_once(ASKED, lambda _: issuer.ask("GET", "/auth/user/sessions", token=people[0].access))
    assert statuses(counted) == {200: ALLOWED, 429: ASKED - ALLOWED}
