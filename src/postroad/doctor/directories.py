"""Do the servers of directories answer: each is connected to, TLS and our own bind included.

Where one of several is down people still log in; where all are, they hear `454 4.7.0`, and recipients that are looked
up there are deferred.
"""

from collections.abc import AsyncIterator
from typing import Final

from postroad.config.checks.directories import directory_password
from postroad.doctor.around import Around
from postroad.doctor.finding import Finding, ok, problem, unknown, warning
from postroad.model.errors import ConfigError
from postroad.net.ldap.directories import make_directory

ABOUT: Final = "directories"


async def check_directories(around: Around) -> AsyncIterator[Finding]:
    """Every server of every directory."""
    for name, settings in around.config.directories.items():
        about = f"{ABOUT}: {name}"
        try:
            directory = make_directory(settings, directory_password(name, settings), around.clock)
        except ConfigError as error:
            yield unknown(about, str(error), "run the doctor as who may read it")
            continue
        faults = await directory.probe()
        await directory.close()
        for at, fault in faults.items():
            server = f"{about}: {settings.servers[at]}"
            if len(faults) < len(settings.servers):
                yield warning(server, fault, "mend the server, or take it out; the others do its work meanwhile")
            else:
                yield problem(server, fault, "mend the server, or the directory's options: nobody of it can log in")
        if not faults:
            yield ok(about, f"all of {', '.join(settings.servers)} answer")
