"""What the account of a walk is by the rules: its keys, and what each of them opens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fakes.passkeys import Authenticator
from fakes.wallets import Wallet

KINDS = ("mail", "password", "phone", "login", "wallet", "passkey", "app", "backup")


@dataclass(frozen=True, kw_only=True)
class Key:
    """One thing that a person has or knows: a password, a mailbox, a phone, a login, a wallet, a factor."""

    kind: str
    value: str
    holds: Any = field(default=None, compare=False, repr=False)
    """The authenticator, or the wallet."""


@dataclass(kw_only=True)
class Account:
    """The account. ``epoch`` counts the changes that end what was begun before."""

    user_id: str
    name: str
    email: str
    password: str | None
    phone: str | None = None
    phone_is_verified: bool = False
    logins: dict[str, str] = field(default_factory=dict)
    wallet: Wallet | None = None
    passkeys: dict[str, Authenticator] = field(default_factory=dict)
    apps: dict[str, str] = field(default_factory=dict)
    mail_factor: str | None = None
    sms_factor: tuple[str, str] | None = None
    """The id and the number."""
    backup: list[str] = field(default_factory=list)
    asks: bool = False
    """True if a first factor is not enough: since the first factor, until the last one is gone."""
    state: str = "active"
    epoch: int = 0
    roles: set[str] = field(default_factory=set)
    remembered: dict[str, int] = field(default_factory=dict)
    """The browsers that need no second factor, with the epoch at which that was chosen."""

    def firsts(self) -> list[Key]:
        """The keys that begin a sign-in."""
        keys = [Key(kind="mail", value=self.email)]
        if self.password:
            keys.append(Key(kind="password", value=self.password))
        if self.phone and self.phone_is_verified:
            keys.append(Key(kind="phone", value=self.phone))
        keys += [Key(kind="login", value=f"{slug} {subject}") for slug, subject in self.logins.items()]
        if self.wallet:
            keys.append(Key(kind="wallet", value=self.wallet.address, holds=self.wallet))
        return keys + self._passkeys()

    def seconds(self) -> list[Key]:
        """The keys that end a sign-in which asks for a second factor."""
        keys = [Key(kind="app", value=secret) for secret in self.apps.values()]
        if self.mail_factor:
            keys.append(Key(kind="mail", value=self.email))
        if self.sms_factor:
            keys.append(Key(kind="phone", value=self.sms_factor[1]))
        keys += [Key(kind="backup", value=code) for code in self.backup]
        return [*keys, *self._passkeys()] if self.asks else []

    def _passkeys(self) -> list[Key]:
        return [Key(kind="passkey", value=one, holds=holder) for one, holder in self.passkeys.items()]

    def moved(self) -> None:
        """Everything that was begun before ends."""
        self.epoch += 1

    def without_factors(self) -> None:
        """The last factor takes the backup codes with it."""
        if not (self.apps or self.mail_factor or self.sms_factor or self.passkeys):
            self.backup, self.asks = [], False

    def lost_ways_in(self) -> None:
        """Nothing but the contact is left."""
        self.password, self.logins, self.wallet = None, {}, None
        self.lost_factors()

    def lost_factors(self) -> None:
        """No second factor is left."""
        self.passkeys, self.apps, self.mail_factor, self.sms_factor = {}, {}, None, None
        self.without_factors()


def can_enter(account: Account, keys: set[Key]) -> bool:
    """True if these keys together open the account."""
    if account.state != "active":
        return False
    for first in account.firsts():
        if first not in keys:
            continue
        if first.kind == "passkey" or not account.asks:
            return True
        if any(second in keys for second in account.seconds()):
            return True
    return False
