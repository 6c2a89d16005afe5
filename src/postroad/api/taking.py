"""The messages of one request, taken in together: each is judged and has its own result, all share the disk's syncs.

Invariant: a message is in the file of what was sent before the spool gets it, and marked there before the queue can
deliver it (store/sent). One that is refused, or that hits a bug of ours, never stops the others.
"""

import asyncio
import traceback
from collections.abc import Sequence

from postroad.api.door import Door, Prepared
from postroad.api.outcomes import Outcomes
from postroad.api.problem import ApiError
from postroad.api.schema import Message, Taken
from postroad.model.errors import SpoolError
from postroad.store.sent import Earlier, Sent


class Taking:
    """Takes them."""

    def __init__(self, sent: Sent, outcomes: Outcomes) -> None:
        """Where it is written down, and who follows what becomes of them."""
        self._sent = sent
        self._outcomes = outcomes

    async def take(
        self, door: Door, key: str, messages: Sequence[Message | ApiError], earlier: Earlier | None
    ) -> list[Taken | ApiError]:
        """Judge every message, then make all that pass durable together; those that `earlier` has are not sent anew."""
        known = {} if earlier is None else earlier.accepted
        results: dict[int, Taken | ApiError] = {}
        prepared: dict[int, Prepared] = {}
        for place, message in enumerate(messages):
            try:
                if place in known:
                    results[place] = Taken(known[place])
                elif isinstance(message, ApiError):
                    results[place] = message
                else:
                    prepared[place] = await door.prepare(message)
            except ApiError as error:
                results[place] = error
            except Exception:  # noqa: BLE001  seam: a message that hits a bug of ours must not stop the others
                results[place] = door.fault(traceback.format_exc())
        if prepared:
            try:
                await self._remember(door, key, prepared, earlier)
            except BaseException:
                for one in prepared.values():
                    one.transaction.facts.end()
                raise
            puts = [self._put(door, one) for one in prepared.values()]
            results |= zip(prepared, await asyncio.gather(*puts), strict=True)
        return [results[place] for place in range(len(messages))]

    async def _remember(self, door: Door, key: str, prepared: dict[int, Prepared], earlier: Earlier | None) -> None:
        """Before the spool has any of them; on disk when they may be asked for again."""
        rows = [(one.id, place) for place, one in prepared.items()]
        self._sent.expect(key, rows, 0 if earlier is None else earlier.num, door.now())
        if earlier is not None:
            await self._sent.sync()

    async def _put(self, door: Door, one: Prepared) -> Taken | ApiError:
        try:
            await door.put(one, self._taken)
        except ApiError as error:
            return error
        except Exception:  # noqa: BLE001  the seam, as above
            return door.fault(traceback.format_exc())
        return Taken(one.id)

    def _taken(self, queue_id: str) -> None:
        """The spool has a message, and the queue not yet: what is done now is done before it can be delivered."""
        self._outcomes.follow(queue_id)
        try:
            self._sent.accepted(queue_id)
        except SpoolError:  # the mail is safe all the same, and is not to be refused for this
            self._outcomes.unwritten(queue_id)
