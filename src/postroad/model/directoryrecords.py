"""Records about servers of directories. Everybody imports them from `records`.

They come once when a server begins to fail and with each try that finds it failing still, and once when it is back.
"""

from postroad.model.record import Record


class DirectoryFaulted(Record, frozen=True, tag="DirectoryFaulted"):
    """A server of a directory does not work for `reason`: the others are asked, and it not for `pause` seconds."""

    directory: str
    server: str
    reason: str
    pause: float


class DirectoryRecovered(Record, frozen=True, tag="DirectoryRecovered"):
    """A server of a directory works again."""

    directory: str
    server: str
