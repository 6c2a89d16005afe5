"""What `[[rates]]` limit, counted in Redis or Valkey for several nodes: each question is one script, so it is one step.

An account is a hash from steps of its period to amounts; it is gone when nothing of it counts any more. The keys of one
installation have one hash tag, so a cluster keeps them together. Every call has a deadline; one that is missed cuts
all connections, so that no answer is ever taken for that to another question. Needs redis-py.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from postroad.model.counts import STEPS, Judged, Over, Take
from postroad.model.errors import CountsError
from postroad.store.counting import MakeRemote, Remote, Server

T = TypeVar("T")

CONNECTIONS: Final = 16
SLACK: Final = 60_000  # milliseconds that an account outlives what counts of it, for clocks that differ
PORTION: Final = 500  # accounts looked at in one go
_SEPARATORS: Final = 2
TOLD: Final = 10_000  # accounts known to be told as full
_NEVER_FITS: Final = 3_600_000_000

TAKE: Final = """
local over, refused = {}, false
for i = 1, #KEYS do
  local a = (i - 1) * 7
  local amount, count = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local oldest, used = tonumber(ARGV[a + 6]), 0
  local cells = redis.call('HGETALL', KEYS[i])
  for j = 1, #cells, 2 do
    if tonumber(cells[j]) < oldest then
      redis.call('HDEL', KEYS[i], cells[j])
    else
      used = used + tonumber(cells[j + 1])
    end
  end
  if used + amount > count then
    over[i] = {i, used, cells}
    refused = refused or ARGV[a + 3] == '0'
  end
end
local told = {}
for i = 1, #KEYS do
  local a = (i - 1) * 7
  if over[i] then
    told[#told + 1] = over[i]
  elseif not refused and ARGV[a + 4] == '0' then
    redis.call('HINCRBY', KEYS[i], ARGV[a + 5], ARGV[a + 1])
    redis.call('PEXPIRE', KEYS[i], ARGV[a + 7])
  end
end
return told
"""
GIVE: Final = """
for i = 1, #KEYS do
  local a = (i - 1) * 2
  local there = tonumber(redis.call('HGET', KEYS[i], ARGV[a + 1]) or '0')
  local less = math.min(there, tonumber(ARGV[a + 2]))
  if less > 0 then
    redis.call('HINCRBY', KEYS[i], ARGV[a + 1], -less)
  end
end
"""


class RedisRates(Remote):
    """One server, or one cluster."""

    def __init__(self, server: Server) -> None:
        """Nothing is connected before it is needed."""
        self._timeout = server.timeout
        self._prefix = f"{{{server.prefix}}}:rates:"
        self._pool = BlockingConnectionPool.from_url(
            server.url,
            username=server.username or None,
            password=server.password or None,
            max_connections=CONNECTIONS,
            timeout=server.timeout,
            socket_timeout=server.timeout,
            socket_connect_timeout=server.timeout,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis(connection_pool=self._pool)
        self._take = self._redis.register_script(TAKE)
        self._give = self._redis.register_script(GIVE)
        self._told: dict[str, int] = {}

    async def take(self, takes: Sequence[Take], now: int) -> Judged:
        """See `Remote`."""
        keys = [self._key(take.account) for take in takes]
        values: list[int] = []
        for take in takes:
            cap = take.cap
            bucket = cap.bucket(now)
            oldest = bucket - STEPS if cap.period else bucket
            life = max(cap.ends(bucket) - now, 0) // 1000 + SLACK
            values += [take.amount, cap.count, int(take.is_soft), int(take.is_look), bucket, oldest, life]
        found = await self._within(lambda: self._take(keys=keys, args=values))
        return tuple(self._over(takes[place - 1], int(used), cells, now) for place, used, cells in found)

    def _over(self, take: Take, used: int, cells: Sequence[bytes], now: int) -> Over:
        cap, opens = take.cap, 0
        pairs = sorted((int(cells[at]), int(cells[at + 1])) for at in range(0, len(cells), 2))
        oldest = cap.bucket(now) - STEPS if cap.period else cap.bucket(now)
        missing = used + take.amount - cap.count
        for bucket, amount in pairs if take.amount <= cap.count else ():
            missing -= amount if bucket >= oldest else 0
            if missing <= 0:
                opens = cap.ends(bucket)
                break
        is_news = now >= self._told.get(take.account, 0)
        if is_news:
            if len(self._told) >= TOLD:
                self._told.clear()
            self._told[take.account] = opens or now + _NEVER_FITS
        return Over(take, used, opens, is_news)

    async def give_back(self, takes: Sequence[Take], at: int) -> None:
        """See `Remote`."""
        keys = [self._key(take.account) for take in takes]
        values = [value for take in takes for value in (take.cap.bucket(at), take.amount)]
        await self._within(lambda: self._give(keys=keys, args=values))

    async def accounts(self) -> AsyncIterator[tuple[str, dict[int, int]]]:
        """See `Remote`."""
        async for keys in self._keys():
            pipe = self._redis.pipeline(transaction=False)
            for key in keys:
                pipe.execute_command("HGETALL", key)
            for key, cells in zip(keys, await self._within(pipe.execute), strict=True):
                account = self._account(key)
                if cells and account.count("\n") == _SEPARATORS:
                    yield account, {int(step): int(amount) for step, amount in cells.items()}

    async def forget(self, wanted: Callable[[str], bool]) -> int:
        """See `Remote`."""
        count = 0
        async for keys in self._keys():
            doomed = [key for key in keys if wanted(self._account(key))]
            if doomed:
                count += await self._within(partial(self._redis.delete, *doomed))
        self._told.clear()
        return count

    async def _keys(self) -> AsyncIterator[list[bytes | str]]:
        cursor, pattern = 0, self._prefix.replace("[", "\\[").replace("*", "\\*").replace("?", "\\?") + "*"
        while True:
            scan = partial(self._redis.scan, cursor=cursor, match=pattern, count=PORTION)
            cursor, keys = await self._within(scan)
            if keys:
                yield keys
            if not cursor:
                return

    def _key(self, account: str) -> str:
        return self._prefix + account.replace("\n", ":", 2)

    def _account(self, key: bytes | str) -> str:
        text = key if isinstance(key, str) else key.decode("utf-8", "replace")
        return text.removeprefix(self._prefix).replace(":", "\n", 2)

    async def _within(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await call()
        except TimeoutError:
            await self._cut()
            raise CountsError(f"no answer within {self._timeout:g} s") from None
        except (RedisError, OSError) as error:
            await self._cut()
            raise CountsError(" ".join(str(error).split()) or type(error).__name__) from None

    async def _cut(self) -> None:
        await self._pool.disconnect(inuse_connections=True)

    async def close(self) -> None:
        """See `Remote`."""
        await self._redis.aclose()
        await self._pool.disconnect(inuse_connections=True)


make_redis: Final[MakeRemote] = RedisRates
