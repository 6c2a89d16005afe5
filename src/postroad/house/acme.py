"""Certificates by ACME as a server has them: where challenges are answered, and who renews.

Only the process that has the queue has this, and only with `[acme]`. Its ports are taken at the start, as those of
the desk are. http-01 without `acme.bind` is answered by the desk (`house/monitor`).
"""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from postroad.config.checks.acme import wanted_of
from postroad.config.schema import Config
from postroad.desk.challengepages import ChallengePages
from postroad.desk.http import DeskServer
from postroad.house.renewing import Renewing
from postroad.model.errors import ConfigError
from postroad.model.records import Emit
from postroad.net.acme.alpnserver import ACME, AlpnServer
from postroad.net.clock import Clock
from postroad.net.process.inherited import Given, Inherited
from postroad.store.acme import AcmeFolder

CONNECTIONS: Final = 32


class Acme:
    """All of it."""

    def __init__(self, config: Config, clock: Clock, emit: Emit) -> None:
        """By `[acme]` of `config`; ConfigError when a secret cannot be read."""
        settings = config.acme
        assert settings is not None, "only with the section"
        wanted, folder = wanted_of(config), AcmeFolder(config.acme_folder)
        self.renewing = Renewing(wanted, settings.renew_before, folder, (clock, emit), random.random)
        self.addresses = settings.answering_at
        self._server: AlpnServer | DeskServer | None = None
        shown = self.renewing.shown
        if settings.challenge == "tls-alpn-01":
            self._server = AlpnServer(self.addresses, shown)
        elif self.addresses:
            pages = ChallengePages(shown.answer)
            self._server = DeskServer(self.addresses, pages, connections=CONNECTIONS, clock=clock, emit=emit, name=ACME)

    @property
    def answer(self) -> Callable[[str], str]:
        """What stands at a token."""
        return self.renewing.shown.answer

    async def bind(self, inherited: Inherited) -> list[str]:
        """Take the ports, before root is given up; "acme address:port" of each."""
        return [] if self._server is None else [f"acme {where}" for where in await self._server.bind(inherited)]

    async def start(self) -> None:
        """Answer, and see to it that there is a certificate."""
        if self._server is not None:
            await self._server.start()
        self.renewing.start()

    def adopt(self, config: Config) -> None:
        """Go on by another configuration."""
        if config.acme is not None:
            with suppress(ConfigError):  # the secret was there when the reload was checked
                self.renewing.adopt(wanted_of(config), config.acme.renew_before)

    def hand_over(self) -> list[Given]:
        """The ports, for the next program."""
        return [] if self._server is None else self._server.hand_over()

    async def stop(self) -> None:
        """Order and answer no more."""
        await self.renewing.stop()
        if self._server is not None:
            await self._server.stop()


def acme_of(config: Config, clock: Clock, emit: Emit) -> Acme | None:
    """That of `config`, if it wants one."""
    return None if config.acme is None else Acme(config, clock, emit)
