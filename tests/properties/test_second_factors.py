"""Second factors against a model: no sequence of calls locks an account out or lets a removed factor in."""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from authkit_issuer import errors
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.store.predicates import HAS_TWO_FACTOR
from fakes.factors import app_code
from fakes.passkeys import SETTINGS, Authenticator, add_passkey

EMAIL = "ada@example.test"
WHICH = st.integers(0, 5)
some = precondition(lambda self: self.apps)
enabled = precondition(lambda self: self.enabled)
with_passkey = precondition(lambda self: self.passkeys)
known = precondition(lambda self: self.removed)


class SecondFactorMachine(RuleBasedStateMachine):
    """One user, whose apps and passkeys come and go; ``apps`` and ``backup`` are what must sign in."""

    driver: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.driver.empty()
        self.apps: dict[str, str] = {}
        self.passkeys: list[str] = []
        self.enabled = False
        self.removed: list[str] = []
        self.backup: list[str] = []
        self.spent: list[str] = []

    @initialize()
    def begin(self) -> None:
        service = self.driver.service
        self.user = self.driver.run(service.users.create(EMAIL, "ada_l")).id

    def _challenge(self) -> dict[str, Any] | None:
        """What a right first factor leads to: a challenge, or None for a session."""
        self.driver.sql("update profiles.second_factors set last_step = -1")
        self.driver.run(self.driver.service.rt.ephemeral.delete(f"totp_tries:{self.user}"))
        (row,) = self.driver.sql(f"select u.auth_epoch, {HAS_TWO_FACTOR} as required from profiles.users u")
        first = FirstFactor(user_id=self.user, auth_epoch=row["auth_epoch"], two_factor=row["required"])
        try:
            self.driver.run(self.driver.service.logins.finish(first, method="password_login", amr=("pwd",)))
        except errors.TwoFactorRequired as required:
            return required.metadata
        return None

    def _answer(self, code: str, *, factor: str | None = None, is_backup: bool = False) -> Any:
        asked = self._challenge()
        assert asked is not None
        service, challenge = self.driver.service, asked["challenge"]
        if factor is not None:
            self.driver.run(service.second_factors.select(self.user, challenge, factor))
        return self.driver.attempt(
            service.logins.complete_two_factor(self.user, challenge, code, is_backup=is_backup)
        )

    @rule()
    def add(self) -> None:
        service = self.driver.service
        begun = self.driver.run(service.totp.begin(self.user))
        added = self.driver.attempt(service.totp.complete(self.user, app_code(begun.secret, 0)))
        if added is errors.TooManySecondFactors:
            assert len(self.apps) == 5
            return
        assert (added.backup_codes is None) == self.enabled
        self.backup = added.backup_codes or self.backup
        self.apps[added.id] = begun.secret
        self.enabled = True

    @some
    @rule(which=WHICH)
    def remove(self, which: int) -> None:
        factor = list(self.apps)[which % len(self.apps)]
        self.driver.run(self.driver.service.second_factors.remove(self.user, factor))
        self.removed.append(self.apps.pop(factor))
        self._end_without_factors()

    def _end_without_factors(self) -> None:
        if not self.apps and not self.passkeys:
            self.spent += self.backup
            self.backup, self.enabled = [], False

    @precondition(lambda self: len(self.passkeys) < 3)
    @rule()
    def add_passkey(self) -> None:
        added = self.driver.run(add_passkey(self.driver.service, self.user, Authenticator()))
        self.passkeys.append(added.id)

    @with_passkey
    @rule(which=WHICH)
    def remove_passkey(self, which: int) -> None:
        passkey = self.passkeys.pop(which % len(self.passkeys))
        self.driver.run(self.driver.service.passkeys.admin_remove(self.user, passkey, actor="operator"))
        self._end_without_factors()

    @enabled
    @rule()
    def disable(self) -> None:
        self.driver.run(self.driver.service.two_factor.disable(self.user))
        self.removed += self.apps.values()
        self.spent += self.backup
        self.apps, self.backup, self.enabled = {}, [], False

    @some
    @rule(which=WHICH)
    def make_default(self, which: int) -> None:
        factor = list(self.apps)[which % len(self.apps)]
        self.driver.run(self.driver.service.second_factors.update(self.user, factor, default=True))

    @enabled
    @rule()
    def make_new_codes(self) -> None:
        self.spent += self.backup
        self.backup = self.driver.run(self.driver.service.two_factor.regenerate_backup_codes(self.user))

    @some
    @rule(which=WHICH)
    def every_app_signs_in(self, which: int) -> None:
        factor = list(self.apps)[which % len(self.apps)]
        assert not isinstance(self._answer(app_code(self.apps[factor]), factor=factor), type)

    @enabled
    @rule(which=WHICH)
    def a_backup_code_signs_in_once(self, which: int) -> None:
        if not self.backup:
            return
        code = self.backup.pop(which % len(self.backup))
        assert not isinstance(self._answer(code, is_backup=True), type)
        self.spent.append(code)

    @some
    @known
    @rule(which=WHICH)
    def a_removed_app_signs_in_nowhere(self, which: int) -> None:
        secret = self.removed[which % len(self.removed)]
        assert self._answer(app_code(secret)) is errors.InvalidOrExpiredCode

    @enabled
    @rule(which=WHICH)
    def a_spent_code_signs_in_nowhere(self, which: int) -> None:
        if self.spent:
            code = self.spent[which % len(self.spent)]
            assert self._answer(code, is_backup=True) is errors.InvalidOrExpiredCode

    @invariant()
    def what_is_stored_is_what_signs_in(self) -> None:
        if not hasattr(self, "user"):
            return
        found = self.driver.run(self.driver.service.second_factors.list_for_user(self.user))
        assert found.enabled == self.enabled
        assert {factor.id for factor in found.factors} == {*self.apps, *self.passkeys}
        assert [factor.default for factor in found.factors].count(True) == bool(self.apps)
        assert found.backup_codes_left == len(self.backup)
        assert (self._challenge() is not None) == self.enabled


def test_no_sequence_of_calls_locks_an_account_out_or_lets_a_removed_factor_in(drive) -> None:
    drive(SecondFactorMachine, examples=60, **SETTINGS)
