"""Known devices: guesses do not lock the owner out, and the owner gets a notice of a new device."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client, language
from authkit_issuer.security.hashing_pool import HashingPool
from authkit_issuer.service import Service
from fakes.until import until
from fakes.users import finish_background

EMAIL, NAME = "ada@example.test", "ada_l"
PASSWORD, WRONG = "correct horse battery", "wrong horse battery"
ATTACKER = Client(ip="198.51.100.7", user_agent="guesser")
HOME = Client(ip="192.0.2.1", user_agent="Firefox")


async def add(service: Service, name: str = NAME, *, verified: bool = True) -> str:
    user = await service.users.add(email=f"{name[:3]}@example.test", username=name, verified=verified)
    await service.passwords.store_hash(user.id, await service.rt.hasher.hash(PASSWORD))
    return user.id


@pytest.fixture
async def ada(service: Service) -> str:
    return await add(service)


async def sign_in(service: Service, client: Client = HOME, name: str = NAME) -> Client:
    """Sign in and return the same client with the device token that it was given."""
    pair = await service.logins.with_password(name, PASSWORD, client=client)
    assert pair.device
    assert pair.device not in repr(pair)
    return dataclasses.replace(client, device=pair.device)


async def lock_out(service: Service, clock: Any) -> None:
    """Guess wrong until the identifier waits for the whole window."""
    wait = 0.0
    while wait < 800:
        clock.advance(wait)
        with pytest.raises((errors.InvalidCredentials, errors.TooManyRequests)) as refused:
            await service.passwords.prove(EMAIL, WRONG, client=ATTACKER)
        wait = getattr(refused.value, "retry_after", None) or 0.0
    with pytest.raises(errors.TooManyRequests):
        await service.passwords.prove(EMAIL, PASSWORD, client=HOME)


async def test_attackers_who_guess_keep_everybody_out_but_the_owners_device(
    service: Service, ada: str, clock
) -> None:
    known = await sign_in(service)
    await lock_out(service, clock)
    assert (await service.passwords.prove(EMAIL, PASSWORD, client=known)).user_id == ada
    assert (await service.passwords.prove(NAME, PASSWORD, client=known)).user_id == ada
    # The owner's sign-in gives attackers no new tries.
    with pytest.raises(errors.TooManyRequests):
        await service.passwords.prove(EMAIL, PASSWORD, client=ATTACKER)


async def test_a_device_has_a_limit_of_its_own_that_parallel_guesses_stay_under(
    service: Service, ada: str, clock
) -> None:
    known, before, longest = await sign_in(service), service.rt.hasher.computed, 0.0
    while longest < 800:
        outcomes = await asyncio.gather(
            *(service.passwords.prove(EMAIL, WRONG, client=known) for _ in range(50)), return_exceptions=True
        )
        waits = [one.retry_after for one in outcomes if isinstance(one, errors.TooManyRequests)]
        longest = max(waits, default=0.0)
        clock.advance(longest if longest < 800 else 0)
    assert service.rt.hasher.computed - before == 10
    with pytest.raises(errors.TooManyRequests):
        await service.passwords.prove(EMAIL, PASSWORD, client=known)
    # It delays no other user.
    assert (await service.passwords.prove(EMAIL, PASSWORD, client=HOME)).user_id == ada


async def test_a_device_of_somebody_else_is_worth_nothing_here(service: Service, ada: str, clock) -> None:
    await add(service, "bob_m")
    of_bob = await sign_in(service, name="bob_m")
    await lock_out(service, clock)
    with pytest.raises(errors.TooManyRequests):
        await service.passwords.prove(EMAIL, PASSWORD, client=of_bob)
    # Nor does it show if an identifier has an account: cost and response are equal.
    await add(service, "eve_x")
    for identifier in ("unknown@example.test", "eve@example.test"):
        before = service.rt.hasher.computed
        with pytest.raises(errors.InvalidCredentials):
            await service.passwords.prove(identifier, WRONG, client=of_bob)
        assert service.rt.hasher.computed == before + 1


async def test_what_ends_sign_ins_under_way_ends_the_trust_in_devices(
    service: Service, ada: str, clock
) -> None:
    known = await sign_in(service)
    await service.sessions.revoke_all(ada)
    await lock_out(service, clock)
    with pytest.raises(errors.TooManyRequests):
        await service.passwords.prove(EMAIL, PASSWORD, client=known)
    clock.advance(901)
    known = await sign_in(service)
    await service.passwords.change(ada, PASSWORD, "another fine horse")
    for _ in range(10):
        with pytest.raises((errors.InvalidCredentials, errors.TooManyRequests)):
            await service.passwords.prove(EMAIL, WRONG, client=known)
    with pytest.raises(errors.TooManyRequests):
        await service.passwords.prove(EMAIL, "another fine horse", client=known)


async def test_a_forged_an_old_and_a_future_token_are_no_device(service: Service, ada: str, clock) -> None:
    known = await sign_in(service)
    token = known.device or ""
    for forged in ("", "akd_", token[:-1], token + "A", "x" * 100_000, "\ud800", token.swapcase()):
        assert service.devices.of(Client(device=forged)) is None
    found = service.devices.of(known)
    assert found is not None
    assert found.is_of(ada)
    clock.advance(180 * 86_400 - 1)
    assert service.devices.of(known)
    clock.advance(1)
    assert service.devices.of(known) is None
    clock.advance(-180 * 86_400 - 61)
    assert service.devices.of(known) is None
    assert service.devices.of(None) is None


async def held(service: Service) -> tuple[HashingPool, asyncio.Event]:
    """Occupy a lane until the event is set."""
    entered, let_go, lanes = asyncio.Event(), asyncio.Event(), service.rt.hasher._pool

    async def hold() -> None:
        entered.set()
        await let_go.wait()

    service.rt.background.start(
        lambda: lanes.run(lambda: None, memory_kib=64, before=hold), name="a held lane"
    )
    await entered.wait()
    return lanes, let_go


async def test_attackers_in_every_lane_and_place_do_not_keep_a_known_device_out(make_service) -> None:
    service = await make_service(hash_threads=1, hash_queue=2)
    await add(service)
    known = await sign_in(service)
    lanes, let_go = await held(service)
    order: list[str] = []

    async def attempt(client: Client, who: str) -> None:
        await service.passwords.prove(EMAIL, PASSWORD, client=client)
        order.append(who)

    attackers = [
        asyncio.create_task(attempt(Client(ip=f"198.51.100.{n}"), f"attacker {n}")) for n in range(3)
    ]
    await until(lambda: any(task.done() for task in attackers))
    (refused,) = [task for task in attackers if task.done()]
    with pytest.raises(errors.ServerBusy):
        await refused
    owner = asyncio.create_task(attempt(known, "owner"))
    await until(lambda: lanes.load.waiting == 3 or owner.done())
    let_go.set()
    await asyncio.gather(owner, *(task for task in attackers if task is not refused))
    assert order[0] == "owner"


# --- news of a new device -----------------------------------------------------------------------------------


async def news(service: Service, mailbox: Any, address: str = EMAIL) -> list[str]:
    await finish_background(service)
    return [message.kind for message in mailbox.to(address) if message.kind == "new_device"]


async def marks(service: Service, user_id: str) -> list[bool]:
    """Tell of every sign-in, oldest first, whether its event says that the device was new."""
    found = await service.events.list_session_events(user_id, "session_created")
    return ["new_device" in event.data for event in reversed(found)]


async def test_the_first_sign_in_and_known_devices_are_no_news_and_a_new_one_is(
    service: Service, ada: str, mailbox
) -> None:
    known = await sign_in(service)
    assert await news(service, mailbox) == []
    await sign_in(service, dataclasses.replace(known, ip="203.0.113.9", user_agent="Firefox, updated"))
    assert await news(service, mailbox) == []
    await sign_in(service, ATTACKER)
    assert await news(service, mailbox) == ["new_device"]
    assert await marks(service, ada) == [False, False, True]


async def test_a_client_without_a_token_is_familiar_by_agent_and_network(
    service: Service, ada: str, mailbox
) -> None:
    await sign_in(service, Client(ip="2001:db8::1", user_agent="app/1"))
    await sign_in(service, Client(ip="2001:db8::2", user_agent="app/1"))
    assert await news(service, mailbox) == []
    await sign_in(service, Client(ip="2001:db8:0:1::2", user_agent="app/1"))
    assert len(await news(service, mailbox)) == 1
    # Whether it signed out in between makes no difference; what was a month ago does.
    await service.sessions.revoke_all(ada)
    await sign_in(service, Client(ip="2001:db8::1", user_agent="app/1"))
    assert len(await news(service, mailbox)) == 1
    await service.pool.execute("update profiles.session_events set occurred_at = now() - interval '31 days'")
    await sign_in(service, Client(ip="2001:db8::1", user_agent="app/1"))
    assert len(await news(service, mailbox)) == 2
    # Of a caller about whom nothing is known nothing can be said.
    await service.logins.with_password(EMAIL, PASSWORD)
    assert len(await news(service, mailbox)) == 2


@pytest.mark.parametrize("client", [Client(ip="192.0.2.1"), Client(user_agent="app/1")])
async def test_half_a_description_is_compared_as_well(service: Service, ada: str, mailbox, client) -> None:
    for _ in range(3):
        await sign_in(service, client)
    assert await news(service, mailbox) == []


async def test_the_news_is_not_in_the_language_of_the_client_that_signed_in(
    service: Service, ada: str, mailbox
) -> None:
    spoken: list[str] = []
    send = mailbox.send_event_notice

    async def listen(*args: object) -> None:
        spoken.append(language.get())
        await send(*args)

    mailbox.send_event_notice = listen
    await sign_in(service)
    token = language.set("xx")
    await sign_in(service, ATTACKER)
    language.reset(token)
    assert await news(service, mailbox) == ["new_device"]
    assert spoken == [""]


async def test_one_account_cannot_fill_the_line_of_known_devices(make_service) -> None:
    service = await make_service(hash_threads=1, hash_queue=3)
    await add(service, "eve_x")
    await add(service)
    mine = [await sign_in(service, name="eve_x") for _ in range(4)]
    owner = await sign_in(service)
    lanes, let_go = await held(service)
    flood = [asyncio.create_task(service.passwords.prove("eve_x", PASSWORD, client=one)) for one in mine]
    # Three in the line of known devices; the fourth waits with the unknown clients.
    await until(lambda: lanes.load.waiting == 4)
    waits = asyncio.create_task(service.passwords.prove(EMAIL, PASSWORD, client=owner))
    # In the full line, the owner takes the place of the newest of the flood.
    await until(lambda: sum(task.done() for task in flood) == 1)
    assert lanes.load.waiting == 4
    let_go.set()
    await waits
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(outcome, errors.ServerBusy) for outcome in outcomes) == 1


async def test_a_browser_keeps_its_tries_through_a_sign_in(service: Service, ada: str) -> None:
    known = await sign_in(service)
    again = await sign_in(service, known)
    before, after = service.devices.of(known), service.devices.of(again)
    assert before is not None
    assert after is not None
    assert before.id == after.id
    assert before.id not in repr(before)


async def test_a_device_stays_known_through_a_new_password(service: Service, ada: str, mailbox) -> None:
    known = await sign_in(service)
    await service.passwords.admin_set(ada, "another fine horse")
    await service.logins.with_password(
        EMAIL, "another fine horse", client=dataclasses.replace(known, ip="203.0.113.9")
    )
    assert await news(service, mailbox) == []


async def test_no_notice_is_sent_to_an_unproved_address_or_where_it_is_switched_off(
    make_service, mailbox
) -> None:
    service = await make_service(verification_required=False)
    ada = await add(service, verified=False)
    await sign_in(service)
    await sign_in(service, ATTACKER)
    quiet = await make_service(new_device_notices=False)
    await add(quiet, "bob_m")
    await sign_in(quiet, name="bob_m")
    await sign_in(quiet, ATTACKER, name="bob_m")
    assert await news(service, mailbox) == []
    assert await news(quiet, mailbox, "bob@example.test") == []
    assert await marks(service, ada) == [False, True]


async def test_a_sign_in_that_is_rolled_back_is_no_news_and_a_failing_mail_no_obstacle(
    service: Service, ada: str, mailbox
) -> None:
    await sign_in(service)
    epoch = await service.pool.fetchval("select auth_epoch from profiles.users")
    with pytest.raises(RuntimeError):
        async with service.transaction() as tx:
            await tx.sessions.sign_in(
                ada, method="password_login", auth_epoch=epoch, amr=("pwd",), client=ATTACKER
            )
            raise RuntimeError
    assert await news(service, mailbox) == []
    mailbox.failure = OSError("no route")
    assert await sign_in(service, ATTACKER)
    await finish_background(service)


async def test_a_host_that_vouches_for_a_user_makes_no_news(service: Service, ada: str, mailbox) -> None:
    await sign_in(service)
    await service.sessions.issue(ada, method="host", client=ATTACKER)
    assert await news(service, mailbox) == []
