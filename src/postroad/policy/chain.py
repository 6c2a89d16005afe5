"""Runs the policies of one stage in order: the first verdict wins.

A policy is a plain function of its context, synchronous or not. An exception or a time-out becomes a
deferral and a record, never a lost or wrongly accepted message: this is one of the three places that
catch every exception. Synchronous policies cost no task and no await.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from postroad.model.records import Emit, PolicyFaulted
from postroad.policy.verdict import VERDICTS, Accept, Adjust, Answer, Defer, Verdict
from postroad.smtp import replies

Context = TypeVar("Context")
Policy = Callable[[Context], Answer | Awaitable[Answer | None] | None]


class Chain(Generic[Context]):
    """The policies of one stage."""

    def __init__(
        self, stage: str, policies: tuple[Policy[Context], ...], *, timeout: float, emit: Emit, now: Callable[[], int]
    ) -> None:
        """Run `policies` in order for `stage`; each may take `timeout` seconds. `now` stamps records of faults."""
        self._stage = stage
        self._policies = policies
        self._timeout = timeout
        self._emit = emit
        self._now = now

    def decide(self, context: Context, adjustments: list[Adjust]) -> Verdict | Awaitable[Verdict | None] | None:
        """The first verdict, None when no policy has one, or an awaitable of it once a policy has to wait.

        What policies want done to the message is added to `adjustments`.
        """
        for place, policy in enumerate(self._policies):
            try:
                answer = policy(context)
            except Exception as error:  # noqa: BLE001  the seam: a broken policy must not decide
                return self._fault(policy, repr(error))
            if answer is None:
                continue
            if isinstance(answer, VERDICTS):
                return _settled(answer, adjustments)
            if isinstance(answer, Adjust):
                adjustments.append(answer)
                continue
            return self._wait(context, answer, place, adjustments)
        return None

    async def _wait(
        self, context: Context, answer: Awaitable[Answer | None], place: int, adjustments: list[Adjust]
    ) -> Verdict | None:
        """Wait for the policy at `place`, then for those after it."""
        policy = self._policies[place]
        try:
            async with asyncio.timeout(self._timeout):
                verdict = await answer
        except TimeoutError:
            return self._fault(policy, f"took longer than {self._timeout:g} s")
        except Exception as error:  # noqa: BLE001  the seam, as above
            return self._fault(policy, repr(error))
        if isinstance(verdict, Adjust):
            adjustments.append(verdict)
        elif verdict is not None:
            return _settled(verdict, adjustments)
        rest = Chain(
            self._stage, self._policies[place + 1 :], timeout=self._timeout, emit=self._emit, now=self._now
        ).decide(context, adjustments)
        return rest if rest is None or isinstance(rest, VERDICTS) else await rest

    def _fault(self, policy: Policy[Context], reason: str) -> Verdict:
        name = getattr(policy, "__name__", type(policy).__name__)
        self._emit(PolicyFaulted(at=self._now(), policy=name, stage=self._stage, reason=reason))
        return Defer(replies.POLICY_ERROR, f"policy {name} failed: {reason}")


class Sealed(Chain[Context]):
    """A chain with a last word: `seals` are asked of what all others take, and can only speak against it or adjust it.

    So what is counted there is what is taken, whoever took it.
    """

    def __init__(
        self,
        stage: str,
        policies: tuple[Policy[Context], ...],
        seals: tuple[Policy[Context], ...],
        *,
        timeout: float,
        emit: Emit,
        now: Callable[[], int],
    ) -> None:
        """See `Chain`."""
        super().__init__(stage, policies, timeout=timeout, emit=emit, now=now)
        self._accepts_silently = stage != "rcpt"
        self._seal = Chain[Context](stage, seals, timeout=timeout, emit=emit, now=now)

    def decide(self, context: Context, adjustments: list[Adjust]) -> Verdict | Awaitable[Verdict | None] | None:
        """See `Chain`."""
        verdict = super().decide(context, adjustments)
        if verdict is None or isinstance(verdict, VERDICTS):
            return self._last(verdict, context, adjustments)
        return self._wait_for_others(verdict, context, adjustments)

    def _last(
        self, verdict: Verdict | None, context: Context, adjustments: list[Adjust]
    ) -> Verdict | Awaitable[Verdict | None] | None:
        if not isinstance(verdict, Accept) and (verdict is not None or not self._accepts_silently):
            return verdict
        last = self._seal.decide(context, adjustments)
        if last is None:
            return verdict
        return last if isinstance(last, VERDICTS) else self._wait_for_seal(verdict, last)

    async def _wait_for_others(
        self, pending: Awaitable[Verdict | None], context: Context, adjustments: list[Adjust]
    ) -> Verdict | None:
        last = self._last(await pending, context, adjustments)
        return last if last is None or isinstance(last, VERDICTS) else await last

    async def _wait_for_seal(self, verdict: Verdict | None, pending: Awaitable[Verdict | None]) -> Verdict | None:
        last = await pending
        return verdict if last is None else last


def _settled(verdict: Verdict, adjustments: list[Adjust]) -> Verdict:
    if isinstance(verdict, Accept) and verdict.adjust is not None:
        adjustments.append(verdict.adjust)
    return verdict
