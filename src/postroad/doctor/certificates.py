"""Is the certificate by ACME there, how long does it hold, and is anything wrong with its renewal.

Looked up in what the server keeps; the CA is not asked. Without `[acme]` there is nothing to say. RFC 8555 6.6 (rate
limits: an attempt made by hand would use them up).
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from postroad.doctor.around import Around
from postroad.doctor.finding import Finding, ok, problem, unknown, warning
from postroad.model.errors import SpoolError
from postroad.model.renewal import DAY, Life, RenewalState, renewal_at
from postroad.net.tls.certfacts import life_of
from postroad.net.tls.keyfiles import READ_FACTS
from postroad.store.acme import AcmeFolder

ABOUT: Final = "certificate"
FEW_DAYS: Final = 7
_MEND: Final = (
    "the names must lead here, and the CA must reach acme.bind (or the desk) at port 443 or 80 of each: see "
    "docs/howto/acme.md; then `postroad acme renew`"
)


async def check_certificates(around: Around) -> AsyncIterator[Finding]:
    """Look at what is kept."""
    acme = around.config.acme
    if acme is None:
        return
    folder = AcmeFolder(around.config.acme_folder)
    try:
        pem = folder.certificate()
        life = life_of(READ_FACTS.load()(pem)) if pem else None
    except (SpoolError, ValueError) as error:
        yield unknown(ABOUT, str(error), "run as the server's user or as root")
        return
    names = acme.names or (around.config.hostname,)
    yield judged(life, folder.state(), names, acme.renew_before, around.clock.now())


def judged(life: Life | None, state: RenewalState, names: tuple[str, ...], renew_before: float, now: int) -> Finding:
    """What is to be said of them."""
    failing = ""
    if state.failures:
        times = "once" if state.failures == 1 else f"{state.failures} times"
        failing = f"; asked for in vain {times}, at last: {state.reason}; tried again at {when(state.next)}"
    if life is None:
        words = f"there is none yet, clients see one that nobody has signed{failing}"
        return problem(ABOUT, words, _MEND if failing else "start the server, and look again in a minute")
    missing = sorted(set(names) - set(life.names))
    if missing:
        failing = f"; it is not for {', '.join(missing)}{failing}"
    days = (life.expires - now) // DAY
    if life.expires <= now:
        return problem(ABOUT, f"it expired at {when(life.expires)}{failing}", _MEND)
    left = f"{days} day{'' if days == 1 else 's'} left"
    if state.failures and life.expires - now < min(FEW_DAYS * DAY, (life.expires - life.starts) // 6):
        return problem(ABOUT, f"{left}{failing}", _MEND)
    if failing:
        return warning(ABOUT, f"{left}{failing}", _MEND)
    due = renewal_at(life, renew_before)
    if due + DAY < now:
        return warning(ABOUT, f"{left}, and it was to be renewed at {when(due)}", "is the server running? see its log")
    return ok(ABOUT, f"{', '.join(life.names)}: {left}, to be renewed at {when(due)}")


def when(micros: int) -> str:
    """As people read it."""
    return datetime.fromtimestamp(micros // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
