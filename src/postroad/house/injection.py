"""The HTTP API with everything it needs of the rest of the server: built only when `[api]` is configured.

It takes mail from when the queue runs until a drain begins. What was under way when the server was killed is compared
with the spool before anything is delivered. Without `[api]` nothing of this is there, and no record is looked at.
"""

import asyncio
from typing import Final

from postroad.api.ask import Asking
from postroad.api.door import Parts
from postroad.api.openapi import document
from postroad.api.outcomes import Outcomes
from postroad.api.service import Rules, Service
from postroad.api.serving import MakeServer
from postroad.config.checks.apihost import key_ring, read_templates
from postroad.config.schema import Config
from postroad.house.front import Front, Way
from postroad.house.reports.taken import door_of
from postroad.model.late import Late
from postroad.model.work import Work
from postroad.net.process.inherited import Given, Inherited
from postroad.observe.fanout import Fanout
from postroad.spool.listing import Listed
from postroad.spool.spool import EmbeddedSpool
from postroad.store.sent import Sent

SERVER: Final = Late[MakeServer]("postroad.api.server", "make_server")


def rules_of(front: Front, way: Way) -> Rules | None:
    """What the API goes by under the configuration of `front`; None without `[api]`, ConfigError when it is broken."""
    config = front.config
    if config.api is None:
        return None
    welcome = front.welcome
    parts = Parts(
        clock=way.clock,
        emit=way.emit,
        stages_of=welcome.stages_of,
        intake=welcome.intake,
        limits=welcome.limits,
        queue_ids=way.queue_ids,
        postmaster=welcome.postmaster,
        hostname=welcome.hostname,
        templates=read_templates(config),
    )
    door = door_of(config, way.clock.now, way.emit)
    return Rules(config.api, key_ring(config), parts, None if door is None else door.take)


class Injection:
    """The API of one process."""

    def __init__(self, config: Config, rules: Rules, spool: EmbeddedSpool, emit: Fanout) -> None:
        """Nothing is bound or opened yet."""
        self._spool = spool
        self._rules = rules
        parts, settings = rules.parts, rules.settings
        self.addresses = settings.bind
        self._sent = Sent(config.sent_file)
        self._outcomes = Outcomes(self._sent, parts.clock)
        asking = Asking(self._sent, self._find, self._in_hand, self._outcomes.flush)
        self._service = Service(rules, self._sent, self._outcomes, asking, document())
        self._server = SERVER.load()(
            settings.bind,
            self._service.answer,
            connections=settings.connections,
            timeout=lambda: self._rules.settings.request_timeout,
            clock=parts.clock,
            emit=emit,
        )
        self._writing: asyncio.Task[None] | None = None
        emit.add(self._outcomes)

    async def bind(self, inherited: Inherited) -> list[str]:
        """Take the ports, before root is given up, or from `inherited`; "api address:port" of each."""
        return [f"api {where}" for where in await self._server.bind(inherited)]

    async def resume(self) -> None:
        """Once the spool is open and before anything of it is delivered; SpoolError when our file cannot be used."""
        await asyncio.to_thread(self._sent.open)
        for queue_id in self._sent.unfinished():
            if await self._find(queue_id) is not None:
                self._sent.accepted(queue_id)
        self._outcomes.resume()

    async def start(self) -> None:
        """Take mail."""
        self._writing = asyncio.create_task(self._write())
        await self._server.start()

    def adopt(self, rules: Rules) -> None:
        """Answer requests to come by another configuration."""
        self._rules = rules
        self._service.adopt(rules)

    def uses(self, front: Front) -> bool:
        """True while a message is on its way in under `front`."""
        return self._service.uses(front.welcome.intake)

    async def hand_over(self, seconds: float) -> list[Given]:
        """The listening sockets, for the next program; requests that run may end within `seconds`."""
        return await self._server.hand_over(seconds)

    async def drain(self, seconds: float) -> None:
        """Take no more mail; requests that run may end within `seconds`."""
        await self._server.drain(seconds)

    async def close(self) -> None:
        """After the last delivery, while the spool is open."""
        await self._server.close()
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        self._service.close()
        self._outcomes.close()
        self._sent.close()

    async def _write(self) -> None:
        await self._outcomes.run(lambda: self._rules.settings.idempotency, lambda: self._rules.settings.history)

    def _in_hand(self, queue_id: str) -> list[Work]:
        return self._spool.desk.in_memory(queue_id)

    async def _find(self, queue_id: str) -> Listed | None:
        return await self._spool.desk.message(queue_id)
