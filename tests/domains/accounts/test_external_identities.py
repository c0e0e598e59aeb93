import uuid

import pytest

from authkit_issuer import Client, Config, ProviderConfig, Service, errors
from fakes.gather import gather

GOOGLE = "https://accounts.google.com"


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(
        providers={"google": ProviderConfig(client_id="x"), "discord": ProviderConfig(client_id="y")},
        solana_domains=("app.example.test",),
    )


@pytest.fixture
async def ada(service: Service) -> str:
    return (await service.users.create("ada@example.com", "ada_l")).id


@pytest.fixture
async def bob(service: Service) -> str:
    return (await service.users.create("bob@example.com", "bob_m")).id


async def test_a_link_is_found_by_issuer_and_by_slug(service: Service, ada: str):
    await service.providers.link_by_issuer(ada, GOOGLE, "Google", "sub-1", "Ada@Gmail.com")
    assert await service.providers.get_link_by_issuer(GOOGLE, "sub-1") == (ada, "ada@gmail.com")
    assert await service.providers.get_link("google", "sub-1") == (ada, "ada@gmail.com")
    assert await service.providers.get_link_by_issuer(GOOGLE, "sub-2") is None
    assert await service.providers.get_link("google", "sub\x00") is None
    assert await service.providers.count(ada) == 1


async def test_linking_by_issuer_alone_fills_in_the_configured_slug(service: Service, ada: str):
    await service.providers.link(ada, GOOGLE, "sub-1")
    (link,) = await service.providers.list_for_user(ada)
    assert (link.issuer, link.provider_slug, link.subject, link.email) == (GOOGLE, "google", "sub-1", None)


async def test_the_trail_says_from_where_a_login_was_linked_and_unlinked(service: Service, ada: str):
    here, there = Client(ip="192.0.2.7", user_agent="curl/8"), Client(ip="2001:db8::1", user_agent="Firefox")
    await service.providers.link_by_issuer(ada, GOOGLE, "google", "sub-1", client=here)
    await service.providers.unlink(ada, "google", force=True, client=there)
    await service.providers.link(ada, GOOGLE, "sub-1", client=there)
    trail = await service.events.list_session_events(ada, "provider_linked", "provider_unlinked")
    assert [(event.event, event.ip_addr, event.user_agent) for event in trail] == [
        ("provider_linked", there.ip, there.user_agent),
        ("provider_unlinked", there.ip, there.user_agent),
        ("provider_linked", here.ip, here.user_agent),
    ]


async def test_another_login_of_one_issuer_replaces_the_former(service: Service, ada: str):
    await service.providers.link_by_issuer(ada, GOOGLE, "google", "old")
    await service.providers.link_by_issuer(ada, GOOGLE, "google", "new", "a@b.co")
    assert [link.subject for link in await service.providers.list_for_user(ada)] == ["new"]
    await service.providers.link_by_issuer(ada, GOOGLE, None, "new", "c@d.co")
    (link,) = await service.providers.list_for_user(ada)
    assert (link.provider_slug, link.email) == ("google", "c@d.co")


async def test_the_trail_says_that_a_login_gave_way_to_another(service: Service, ada: str):
    here = Client(ip="192.0.2.7", user_agent="curl/8")
    await service.providers.link_by_issuer(ada, GOOGLE, "google", "old")
    await service.providers.link_by_issuer(ada, GOOGLE, "google", "new", client=here)
    await service.providers.link_by_issuer(ada, GOOGLE, "google", "new")
    trail = await service.events.list_session_events(ada, "provider_linked", "provider_unlinked")
    assert [(event.event, event.reason, event.method, event.target, event.ip_addr) for event in trail] == [
        ("provider_linked", None, "google", GOOGLE, here.ip),
        ("provider_unlinked", "replaced", "google", GOOGLE, here.ip),
        ("provider_linked", None, "google", GOOGLE, None),
    ]


async def test_a_replacement_that_fails_leaves_login_and_trail_as_they_were(service: Service, ada: str):
    await service.providers.link_by_issuer(ada, GOOGLE, None, "old")
    with pytest.raises(RuntimeError):
        async with service.transaction() as tx:
            await tx.providers.link_by_issuer(ada, GOOGLE, None, "new")
            raise RuntimeError
    assert [link.subject for link in await service.providers.list_for_user(ada)] == ["old"]
    assert await service.events.list_session_events(ada, "provider_unlinked") == []
    await service.providers.link_by_issuer(ada, GOOGLE, None, "new")
    (event,) = await service.events.list_session_events(ada, "provider_unlinked")
    assert event.method is None


async def test_a_login_of_somebody_else_changes_nothing_for_either(service: Service, ada: str, bob: str):
    await service.providers.link_by_issuer(ada, GOOGLE, "google", "hers", "ada@gmail.com")
    await service.providers.link_by_issuer(bob, GOOGLE, "google", "his", "bob@gmail.com")
    with pytest.raises(errors.ProviderAlreadyLinked):
        await service.providers.link_by_issuer(bob, GOOGLE, "other", "hers", "evil@example.com")
    assert await service.providers.get_link_by_issuer(GOOGLE, "hers") == (ada, "ada@gmail.com")
    assert await service.providers.get_link_by_issuer(GOOGLE, "his") == (bob, "bob@gmail.com")


async def test_two_who_link_one_login_at_once_leave_one_owner(service: Service, ada: str, bob: str, rounds):
    for number in range(rounds(200)):
        outcomes = await gather(
            lambda number=number: service.providers.link_by_issuer(ada, GOOGLE, "google", f"s{number}"),
            lambda number=number: service.providers.link_by_issuer(bob, GOOGLE, "google", f"s{number}"),
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, errors.ProviderAlreadyLinked)]
        assert outcomes.count(None) == 1
        assert len(refused) == 1


async def test_an_unknown_user_gets_no_link(service: Service):
    for unknown in (str(uuid.uuid4()), "no id"):
        with pytest.raises(errors.UserNotFound):
            await service.providers.link_by_issuer(unknown, GOOGLE, "google", "sub-1")
        assert await service.providers.count(unknown) == 0
        assert await service.providers.unlink(unknown, "google") is False


async def test_the_last_way_to_sign_in_is_kept_unless_forced(service: Service, ada: str):
    await service.providers.link_by_issuer(ada, GOOGLE, "google", "sub-1")
    await service.providers.link_by_issuer(ada, "https://gone.example", "gone", "sub-1")
    # The other provider is not configured any more: no user could sign in with it.
    with pytest.raises(errors.CannotUnlinkLastLoginMethod):
        await service.providers.unlink(ada, "Google")
    assert await service.providers.unlink(ada, "gone") is True
    assert await service.providers.unlink(ada, "google", force=True) is True
    assert await service.providers.unlink(ada, "google") is False


async def test_with_a_password_or_another_login_a_link_may_go(service: Service, ada: str, bob: str):
    await service.providers.link_by_issuer(ada, GOOGLE, "google", "sub-1")
    await service.passwords.store_hash(ada, await service.passwords.hash("correct horse battery"))
    assert await service.providers.unlink(ada, "google") is True
    await service.providers.link_by_issuer(bob, GOOGLE, "google", "sub-2")
    await service.providers.link_by_issuer(bob, "solana:mainnet", "solana", "address")
    assert await service.providers.unlink(bob, "google") is True


@pytest.mark.parametrize(
    ("issuer", "slug", "domains"),
    [
        ("solana:mainnet", "solana", ()),  # no domain to sign in on
        ("solana:devnet", "solana", ("app.example.test",)),  # a wallet of another network
        ("https://discord.example", "discord", ()),  # the former issuer of a configured provider
    ],
)
async def test_a_login_that_signs_in_nowhere_is_no_other_way(make_service, issuer, slug, domains) -> None:
    providers = {"google": ProviderConfig(client_id="x"), "discord": ProviderConfig(client_id="y")}
    service = await make_service(providers=providers, solana_domains=domains)
    user_id = (await service.users.create("ada@example.com", "ada_l")).id
    await service.providers.link_by_issuer(user_id, GOOGLE, "google", "sub-1")
    await service.providers.link_by_issuer(user_id, issuer, slug, "sub-1")
    with pytest.raises(errors.CannotUnlinkLastLoginMethod):
        await service.providers.unlink(user_id, "google")
    assert await service.providers.unlink(user_id, slug)
    await service.providers.unlink(user_id, "google", force=True)
    await service.providers.link_by_issuer(user_id, issuer, slug, "sub-1")
    assert "no_way_to_sign_in" in str(await service.admin.explain_user(user_id))


async def test_two_links_unlinked_at_once_leave_one(service: Service, ada: str, rounds):
    for _ in range(rounds(1000)):
        await service.providers.link_by_issuer(ada, GOOGLE, "google", "g")
        await service.providers.link_by_issuer(ada, "https://discord.com", "discord", "d")
        outcomes = await gather(
            lambda: service.providers.unlink(ada, "google"), lambda: service.providers.unlink(ada, "discord")
        )
        assert outcomes.count(True) == 1
        assert await service.providers.count(ada) == 1


async def test_a_provider_username_round_trips_into_the_token(service: Service, ada: str):
    await service.providers.link_by_issuer(ada, "https://discord.com", "discord", "d-1")
    assert await service.providers.set_username(ada, "https://discord.com", "d-1", " ada#1\r\n ") is True
    assert await service.providers.get_username(ada, "Discord") == "ada#1"
    assert await service.providers.get_discord_username(ada) == "ada#1"
    token = await service.tokens.issue_access(ada)
    assert (await service.tokens.verify(token.token)).discord_username == "ada#1"


async def test_storing_a_username_keeps_the_rest_of_the_profile(service: Service, ada: str):
    await service.providers.link_by_issuer(ada, "https://discord.com", "discord", "d-1")
    await service.pool.execute("""update profiles.user_providers set profile = '{"locale": "de"}'""")
    await service.providers.set_username(ada, "https://discord.com", "d-1", "x" * 300)
    row = await service.pool.fetchval("select profile ->> 'locale' from profiles.user_providers")
    assert row == "de"
    assert await service.providers.get_username(ada, "discord") == "x" * 100


async def test_a_username_for_no_login_is_not_stored(service: Service, ada: str):
    assert await service.providers.set_username(ada, GOOGLE, "sub-1", "ada") is False
    assert await service.providers.set_username("no id", GOOGLE, "sub-1", "ada") is False
    assert await service.providers.get_username(ada, "google") == ""
    assert await service.providers.get_discord_username(ada) == ""


async def test_a_slug_shared_by_two_issuers_is_ambiguous_where_both_know_the_subject(
    service: Service, ada: str, bob: str
):
    await service.providers.link_by_issuer(ada, "https://a.example", "corp", "1")
    await service.providers.link_by_issuer(bob, "https://b.example", "corp", "1")
    with pytest.raises(errors.Conflict):
        await service.providers.get_link("corp", "1")


@pytest.mark.parametrize(
    ("slug", "provider"),
    [
        ("Google", ProviderConfig(client_id="x")),
        ("google", ProviderConfig(client_id=" ")),
        ("corp", ProviderConfig(client_id="x")),
        ("corp", ProviderConfig(client_id="x", issuer="http://corp.example")),
        ("corp", ProviderConfig(client_id="x", issuer="http://127.0.0.1:1")),
        ("apple", ProviderConfig(client_id="x")),
        ("solana", ProviderConfig(client_id="x", issuer="https://s.example")),
    ],
)
def test_a_provider_that_cannot_work_is_refused_at_start(slug: str, provider: ProviderConfig):
    with pytest.raises(errors.ConfigError, match="providers"):
        Config(issuer="https://i.example", issued_audiences=("a",), providers={slug: provider})


def test_providers_come_from_the_environment_as_json():
    config = Config.from_env(
        {
            "AUTHKIT_ISSUER": "https://i.example",
            "AUTHKIT_AUDIENCES": "a",
            "AUTHKIT_PROVIDERS": '{"corp": {"client_id": "x", "client_secret": "s", "issuer": "https://c.example"}}',
        }
    )
    assert config.provider_issuers == {"corp": "https://c.example"}
    assert "'s'" not in repr(config)
