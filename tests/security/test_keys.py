"""Keys: loading, publishing, rotating and watching a file."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import jwt
import pytest

from authkit_issuer.config import Config
from authkit_issuer.errors import ConfigError, MissingSigner
from authkit_issuer.keys import KeySet, SigningKey, StaticKeys, public_pem, thumbprint
from authkit_issuer.security import key_file, key_rotation
from authkit_issuer.security.access_token_signer import AccessTokenSigner
from authkit_issuer.security.key_sources import FileKeys, load_keys

LIFE = 900.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "keys" / "keys.json"
    assert key_file.create(target, key_file.generate("ES256", os.urandom))
    return target


def config(tmp_path: Path, **fields: object) -> Config:
    return Config(
        issuer="https://issuer.example", issued_audiences=("api",), keys_dir=str(tmp_path), **fields
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o606])
def test_a_file_that_other_users_can_read_or_write_is_taken_with_a_warning(
    path: Path, mode: int, caplog
) -> None:
    path.chmod(mode)
    key_rotation.read(path)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "authkit.keys"]
    assert f"{path} has mode {mode:04o}" in line
    assert f"chmod 600 {path}" in line


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440])
def test_a_file_of_its_owner_is_taken_in_silence(path: Path, mode: int, caplog) -> None:
    path.chmod(mode)
    key_rotation.read(path)
    assert not caplog.records


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_another_library_verifies_what_we_sign_with_what_we_publish(alg: str) -> None:
    private = key_file.new_private_key(alg)
    kid = thumbprint(private.public_key())
    keys = KeySet(
        signing=SigningKey(kid=kid, private_key=private),
        public={kid: private.public_key()},
        refresh_secrets={0: b"s" * 32},
        active_secret=0,
    )
    token = AccessTokenSigner(StaticKeys(keys)).sign({"sub": "me", "aud": "api", "email": "ü@example.test"})
    header = jwt.get_unverified_header(token)
    assert header == {"alg": alg, "kid": kid, "typ": "at+jwt"}
    published = jwt.PyJWK(json.loads(keys.jwks_body)["keys"][0])
    assert jwt.decode(token, published, algorithms=[alg], audience="api")["email"] == "ü@example.test"


def test_without_a_signing_key_nothing_is_signed() -> None:
    keys = KeySet(signing=None, public={}, refresh_secrets={0: b"s" * 32}, active_secret=0)
    with pytest.raises(MissingSigner):
        AccessTokenSigner(StaticKeys(keys)).sign({})


def test_the_file_is_for_its_owner_only_and_the_first_creator_wins(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    before = path.read_bytes()
    assert not key_file.create(path, key_file.generate("RS256", os.urandom))
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["keys.json"]


def test_a_new_key_is_published_before_it_signs_and_the_old_one_long_after(path: Path) -> None:
    clock = Clock()
    old = key_rotation.read(path).at(clock(), LIFE).signing
    new = key_rotation.rotate(path, alg="ES256", now=clock(), access_life=LIFE)
    source = FileKeys(path, clock=clock, access_life=LIFE)
    assert old is not None

    def kids() -> list[str]:
        return [key["kid"] for key in source.current().jwks["keys"]]

    assert kids() == [old.kid, new]
    clock.now += key_rotation.PUBLISH_AHEAD + 1
    signing = source.current().signing
    assert signing is not None
    assert signing.kid == new
    assert kids() == [new, old.kid]
    clock.now += LIFE + key_rotation.KEEP_RETIRED - 1
    assert kids() == [new, old.kid]
    clock.now += 2
    assert kids() == [new]


def test_a_second_rotation_settles_the_first_in_the_file(path: Path) -> None:
    clock = Clock()
    first = key_rotation.rotate(path, alg="ES256", now=clock(), access_life=LIFE)
    with pytest.raises(ConfigError, match="already announces"):
        key_rotation.rotate(path, alg="ES256", now=clock(), access_life=LIFE)
    clock.now += key_rotation.PUBLISH_AHEAD
    second = key_rotation.rotate(path, alg="EdDSA", now=clock(), access_life=LIFE, at_once=True)
    keys = key_rotation.read(path).at(clock(), LIFE)
    assert keys.signing is not None
    assert keys.signing.kid == second
    assert first in keys.public
    assert len(keys.public) == 3
    clock.now += LIFE + key_rotation.KEEP_RETIRED + 1
    key_rotation.rotate(path, alg="ES256", now=clock(), access_life=LIFE, at_once=True)
    assert first not in path.read_text()


def test_of_rotations_at_once_one_announces_and_the_others_say_so(path: Path) -> None:
    rotate = partial(key_rotation.rotate, path, alg="ES256", now=Clock()(), access_life=LIFE)
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(rotate) for _ in range(8)]
    outcomes = [future.exception() or future.result() for future in asked]
    announced = [one for one in outcomes if isinstance(one, str)]
    assert len(announced) == 1
    assert all(isinstance(one, ConfigError) for one in outcomes if one not in announced)
    assert announced[0] in path.read_text()


def test_a_link_to_the_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "keys.json"
    link.parent.mkdir()
    link.symlink_to(path)
    kid = key_rotation.rotate(link, alg="ES256", now=Clock()(), access_life=LIFE)
    assert link.is_symlink()
    assert kid in path.read_text()


def test_a_replacement_that_fails_leaves_no_private_key_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        key_rotation.rotate(path, alg="ES256", now=Clock()(), access_life=LIFE)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")
@pytest.mark.parametrize("mode", [0o600, 0o440])
def test_a_file_that_root_rotates_stays_its_owners(path: Path, mode: int) -> None:
    os.chown(path, 1234, 2345)
    path.chmod(mode)
    key_rotation.rotate(path, alg="ES256", now=Clock()(), access_life=LIFE)
    key_rotation.withdraw(path, alg="ES256", now=Clock()())
    after = path.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (1234, 2345, mode)


@pytest.mark.parametrize("pending", [False, True])
async def test_keys_that_leaked_are_withdrawn_while_the_issuer_runs(path: Path, *, pending: bool) -> None:
    clock = Clock()
    rotate = partial(key_rotation.rotate, path, alg="ES256", now=clock(), access_life=LIFE)
    await asyncio.to_thread(rotate, at_once=True)
    if pending:
        await asyncio.to_thread(rotate)
    source = await asyncio.to_thread(FileKeys, path, clock=clock, access_life=LIFE)
    before = source.current()
    forged = AccessTokenSigner(StaticKeys(before)).sign({"sub": "me", "aud": "api"})
    new = await asyncio.to_thread(key_rotation.withdraw, path, alg="EdDSA", now=clock())
    await source.refresh()
    (published,) = source.current().jwks["keys"]
    assert published["kid"] == new != jwt.get_unverified_header(forged)["kid"]
    assert source.current().signing.kid == new  # type: ignore[union-attr]
    assert source.current().derive("x") == before.derive("x")
    clock.now += key_rotation.PUBLISH_AHEAD + 1
    assert list(source.current().public) == [new]


async def test_a_swapped_file_is_picked_up_and_a_broken_one_is_not(path: Path) -> None:
    source = await asyncio.to_thread(FileKeys, path, clock=Clock(), access_life=LIFE)
    before = source.current()
    new = await asyncio.to_thread(
        key_rotation.rotate, path, alg="ES256", now=Clock()(), access_life=LIFE, at_once=True
    )
    await source.refresh()
    assert source.current().signing is not None
    assert source.current().signing.kid == new  # type: ignore[union-attr]
    assert before.signing is not None
    assert before.signing.kid in source.current().public
    good = source.current()
    await asyncio.to_thread(path.write_text, "{}")
    await source.refresh()
    assert source.current() is good


async def test_two_processes_that_start_at_once_agree_on_their_keys(tmp_path: Path) -> None:
    found = await asyncio.gather(
        *(asyncio.to_thread(load_keys, config(tmp_path), {}, clock=Clock()) for _ in range(8))
    )
    assert len({source.current().jwks_body for source in found}) == 1
    assert len({source.current().derive("x") for source in found}) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "keys.json"),
        ("[]", "keys.json"),
        ('{"active_key_id": "a"}', "active_private_key_pem"),
        (('{"active_key_id":"a","active_private_key_pem":"no","refresh_secrets":{"0":"eA"},'
         '"refresh_secret_active":0}'), "active_private_key_pem"),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_sentence_without_its_content(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_keys(config(tmp_path), {}, clock=Clock())
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_broken_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("broken")
    with pytest.raises(ConfigError):
        load_keys(config(tmp_path), {}, clock=Clock())
    assert (tmp_path / "keys.json").read_text() == "broken"


def test_production_makes_no_keys(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No keys"):
        load_keys(config(tmp_path, environment="production"), {}, clock=Clock())
    assert list(tmp_path.iterdir()) == []


def environment() -> dict[str, str]:
    made = key_file.generate("ES256", os.urandom)
    return {
        "ACTIVE_KEY_ID": "env-1",
        "ACTIVE_PRIVATE_KEY_PEM": made.active_private_key_pem.replace("\n", "\\n"),
        "REFRESH_SECRETS": json.dumps({"9": "A" * 43}),
        "REFRESH_SECRET_ACTIVE": "9",
    }


def test_keys_come_from_the_environment_first(tmp_path: Path) -> None:
    keys = load_keys(config(tmp_path), environment(), clock=Clock()).current()
    assert keys.signing is not None
    assert keys.signing.kid == "env-1"
    assert keys.active_secret == 9


@pytest.mark.parametrize(
    "change",
    [
        {"ACTIVE_KEY_ID": ""},
        {"ACTIVE_PRIVATE_KEY_PEM": ""},
        {"ACTIVE_PRIVATE_KEY_PEM": "broken"},
        {"REFRESH_SECRETS": ""},
        {"REFRESH_SECRETS": '{"9": "short"}'},
        {"REFRESH_SECRETS": '{"9": "' + "A" * 43 + '", "9": "' + "B" * 43 + '"}'},
        {"REFRESH_SECRETS": '{"9": "' + "A" * 43 + '", "09": "' + "B" * 43 + '"}'},
        {"REFRESH_SECRETS": '{" 9": "' + "A" * 43 + '"}'},
        {"REFRESH_SECRET_ACTIVE": "8"},
        {"REFRESH_SECRET_ACTIVE": "²"},
        {"PUBLIC_KEYS": "no json"},
        {"SEALING_KEYS": "no json"},
        {"SEALING_KEYS": '{"1": "short"}'},
        {"SEALING_KEYS": '{"4294967296": "' + "A" * 43 + '"}'},
        {"PUBLIC_KEYS": '{"old": "no pem"}'},
    ],
)
def test_a_half_set_environment_is_refused_rather_than_passed_over(
    tmp_path: Path, change: dict[str, str]
) -> None:
    with pytest.raises(ConfigError):
        load_keys(config(tmp_path), environment() | change, clock=Clock())


def test_sealing_keys_come_from_the_file_or_the_environment(path: Path, tmp_path: Path) -> None:
    (first,) = FileKeys(path, clock=Clock(), access_life=LIFE).current().sealing_keys.items()
    assert (first[0], len(first[1])) == (0, 32)
    assert key_rotation.rotate_sealing(path, os.urandom) == 1
    assert key_rotation.rotate_sealing(path, os.urandom, only_first=True) == 1
    key_rotation.rotate(path, alg="ES256", now=1_000_000.0, access_life=LIFE)
    both = FileKeys(path, clock=Clock(), access_life=LIFE).current().sealing_keys
    assert dict([first]).items() <= both.items()
    assert sorted(both) == [0, 1]
    env = environment() | {"SEALING_KEYS": json.dumps({"3": "B" * 43})}
    assert list(load_keys(config(tmp_path), env, clock=Clock()).current().sealing_keys) == [3]
    assert load_keys(config(tmp_path), environment(), clock=Clock()).current().sealing_keys == {}
    with pytest.raises(ConfigError, match="SEALING_KEYS"):
        load_keys(config(path.parent), {"SEALING_KEYS": "{}"}, clock=Clock())


def test_development_adds_a_sealing_key_to_a_file_from_before_and_production_does_not(path: Path) -> None:
    before = json.loads(path.read_text())
    del before["sealing_keys"]
    path.write_text(json.dumps(before))
    production = config(path.parent, environment="production")
    assert load_keys(production, {}, clock=Clock()).current().sealing_keys == {}
    assert list(load_keys(config(path.parent), {}, clock=Clock()).current().sealing_keys) == [0]
    assert key_file.read(path).active_key_id == before["active_key_id"]


def test_a_public_key_that_is_not_the_signing_one_is_refused_under_its_kid(tmp_path: Path) -> None:
    other = public_pem(key_file.new_private_key("ES256").public_key())
    env = environment() | {"PUBLIC_KEYS": json.dumps({"env-1": other})}
    with pytest.raises(ConfigError, match="not the one that signs"):
        load_keys(config(tmp_path), env, clock=Clock())


def test_a_short_rsa_key_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem = weak.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    with pytest.raises(ConfigError, match="2048"):
        load_keys(config(tmp_path), environment() | {"ACTIVE_PRIVATE_KEY_PEM": pem}, clock=Clock())


def test_an_rsa_key_may_have_8192_bits_and_not_one_more(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    def retired(pem: str) -> dict[str, str]:
        return environment() | {"PUBLIC_KEYS": json.dumps({"old": pem})}

    longest, longer = (
        public_pem(rsa.RSAPublicNumbers(65537, 2**bits - 1).public_key()) for bits in (8192, 8193)
    )
    keys = load_keys(config(tmp_path), retired(longest), clock=Clock()).current()
    assert "old" in {key["kid"] for key in keys.jwks["keys"]}
    with pytest.raises(ConfigError, match="2048 to 8192 bits"):
        load_keys(config(tmp_path), retired(longer), clock=Clock())


UNKNOWN_CURVE = (  # a public key on a curve that no library of ours knows
    "-----BEGIN PUBLIC KEY-----\n"
    "MD4wEAYHKoZIzj0CAQYFK4EEAAgDKgAExryj6PqbRhmkByngrESTXkb+itrPhrvf\n"
    "MH2HrE8ZYPMsvUxfSjBb3Q==\n"
    "-----END PUBLIC KEY-----\n"
)


async def test_a_file_with_an_exotic_key_is_reported_and_the_watch_goes_on(path: Path) -> None:
    source = await asyncio.to_thread(FileKeys, path, clock=Clock(), access_life=LIFE)
    good, text = source.current(), await asyncio.to_thread(path.read_text)
    for member, value in (("public_keys", {"odd": UNKNOWN_CURVE}), ("public_keys", {"odd": "\ud800"})):
        broken = json.dumps(json.loads(text) | {member: value})
        await asyncio.to_thread(path.write_text, broken)
        await source.refresh()
        assert source.current() is good
    await asyncio.to_thread(path.write_text, text + " ")
    await source.refresh()
    assert source.current() is not good


def test_a_file_whose_signing_key_counts_as_retired_is_refused(path: Path) -> None:
    """It would load, and stop the service when the retirement ends."""
    file = json.loads(path.read_text())
    path.write_text(json.dumps(file | {"retired": {file["active_key_id"]: 1.0}}))
    with pytest.raises(ConfigError, match="retired"):
        key_rotation.read(path)


def test_a_broken_file_does_not_stand_in_the_exception_chain(path: Path) -> None:
    import traceback

    file = json.loads(path.read_text())
    secret = file["refresh_secrets"]["0"]
    path.write_text(json.dumps(file | {"refresh_secrets": secret}))
    with pytest.raises(ConfigError) as raised:
        key_rotation.read(path)
    assert secret not in "".join(traceback.format_exception(raised.value))
