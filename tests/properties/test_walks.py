"""Random walks over the whole service: what an owner closes stays closed, and the owner always gets in.

A failure names the seed and the fewest steps that show it. ``fakes.walks`` has the people and their moves.
"""

from __future__ import annotations

import random
from typing import Any

import httpx
import pytest

from authkit_issuer.config import ProviderConfig
from authkit_issuer.config.limits import BUCKETS
from authkit_issuer.http import create_app
from fakes.passkeys import SETTINGS as PASSKEYS
from fakes.provider import CLIENT, SECRET, LoopbackProvider
from fakes.walks.account import KINDS
from fakes.walks.flows import begin, finish, finish_late
from fakes.walks.moves import ADDING, OTHERS
from fakes.walks.person import APP, DOMAIN
from fakes.walks.world import World

BASE = "https://id.example.test"
STEPS, SEEDS = 15, 4
SETTINGS: dict[str, Any] = PASSKEYS | {
    "base_url": BASE, "org_mode": "multi", "solana_domains": (DOMAIN,), "session_max_per_user": None,
    "passwordless": "both", "passwordless_registration": True, "recovery_delay": 86_400.0,
    "two_factor_remember": 86_400.0, "two_factor_required_roles": ("admin",),
    # Limits have tests of their own.
    "code_cooldown": 0.0, "max_codes_per_hour": 10_000, "max_codes_per_target_hour": 10_000,
    "sms_max_per_number_hour": 10_000, "sms_max_per_prefix_hour": 10**6, "sms_max_per_hour": 10**6,
    "rate_limits": dict.fromkeys(BUCKETS, "1000000/1m"), "login_failure_limit": 10**6,
    "max_code_attempts": 1000,
}  # fmt: skip


class Walks:
    """Walks over one service, each with people of its own."""

    def __init__(self, service: Any, mailbox: Any, idps: dict[str, LoopbackProvider]) -> None:
        self.service, self.mailbox, self.idps = service, mailbox, idps
        self.app = create_app(service)

    def make_api(self) -> httpx.AsyncClient:
        """A browser with cookies of its own."""
        transport = httpx.ASGITransport(app=self.app, client=("127.0.0.1", 4711))
        return httpx.AsyncClient(transport=transport, base_url=BASE)

    async def walk(self, seed: int, steps: list[int]) -> None:
        """Take these steps of the walk of a seed."""
        chosen = random.Random(seed)
        # A few moves that come again and again meet more often than all of them.
        moves = [*chosen.sample(ADDING, 3), *chosen.sample(OTHERS, 6)]
        plan = [
            (chosen.choice(ADDING if step < 3 else moves), chosen.randrange(2**32)) for step in range(STEPS)
        ]
        self.mailbox.messages.clear()
        world = World(make_api=self.make_api, service=self.service, mailbox=self.mailbox, idps=self.idps)
        await world.begin()
        world.loot = chosen.sample(KINDS, 3)
        for step in steps:
            move, inner = plan[step]
            world.log.append(f"{step} {move.__name__}")
            world.random.seed(inner)
            try:
                await self._step(world, move)
            except Exception as error:
                error.add_note(f"seed {seed}: {', '.join(world.log)}")
                raise

    async def _step(self, world: World, move: Any) -> None:
        for _ in range(world.random.randrange(3)):
            await begin(world)
        await move(world)
        await world.check()
        await finish_late(world)
        if world.random.random() < 0.3:
            await finish(world)
            await world.check()

    async def shortest(self, seed: int) -> Exception | None:
        """Walk; return the failure of the fewest steps that still fail, or None."""
        steps, found = list(range(STEPS)), None
        for left_out in (None, *reversed(range(STEPS))):
            fewer = [step for step in steps if step != left_out]
            try:
                await self.walk(seed, fewer)
            except Exception as error:  # noqa: BLE001 - any failure is what is looked for
                steps, found = fewer, error
            if found is None:
                return None
        return found


@pytest.fixture
async def walks(make_service, mailbox, clock):
    idps = {slug: LoopbackProvider(clock) for slug in ("loop", "pool")}
    for idp in idps.values():
        await idp.start()
    providers = {
        slug: ProviderConfig(
            client_id=CLIENT,
            client_secret=SECRET,
            issuer=idp.issuer,
            allow_http_loopback=True,
            native_client_ids=(APP,),
        )
        for slug, idp in idps.items()
    }
    yield Walks(await make_service(**SETTINGS, providers=providers), mailbox, idps)
    for idp in idps.values():
        await idp.stop()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(SEEDS))
async def test_what_an_owner_closes_stays_closed_and_the_owner_gets_in(walks, rounds, part):
    for seed in range(part * 1000, part * 1000 + rounds(10)):
        failure = await walks.shortest(seed)
        if failure is not None:
            raise failure
