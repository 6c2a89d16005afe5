"""Directories for tests: made with deadlines that a busy machine keeps, and closed together at the end."""

from typing import Any, Final

from postroad.net.ldap.directories import make_directory
from postroad.net.ldap.directory import Directory, ServerFault
from postroad.net.settings import DirectorySettings
from tests.support.clock import ManualClock
from tests.support.slapd import READER, READER_PASSWORD, Slapd

LONG: Final = 30.0


class Kit:
    """Makes directories, and closes them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.faults: list[ServerFault] = []
        self.made: list[Directory] = []

    def __call__(self, *urls: str, ca: str = "", password: str = READER_PASSWORD, **options: Any) -> Directory:
        given = {"bind_dn": READER, "connect_timeout": LONG, "answer_timeout": LONG, "timeout": 2 * LONG, **options}
        settings = DirectorySettings(servers=urls, ca=ca, **given)
        directory = make_directory(settings, password, self.clock)
        directory.told = self.faults.append
        self.made.append(directory)
        return directory

    def of(self, *servers: Slapd, **options: Any) -> Directory:
        """In the clear, so that two servers of different CAs can be one directory."""
        return self(*(server.url for server in servers), starttls=False, **options)

    async def close(self) -> None:
        """Let everything go."""
        for directory in self.made:
            await directory.close()
