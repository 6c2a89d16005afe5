"""Every exception Postroad raises on purpose.

Outcomes, verdicts and DNS answers are values, never exceptions: what is left is bad input
(configuration, addresses, commands) and storage that cannot do its work. Nothing else in the
code base subclasses Exception.
"""


class PostroadError(Exception):
    """Base of all errors below; its text is meant for people."""


class ConfigError(PostroadError):
    """The configuration cannot be used; `problems` lists every mistake, one line each."""

    def __init__(self, problems: list[str]) -> None:
        """Keep `problems`, non-empty, in the order they were found."""
        super().__init__("\n".join(problems))
        self.problems = problems


class BindError(PostroadError):
    """A function is no policy; the text says why."""


class AddressError(PostroadError):
    """An address is not valid (RFC 5321 4.1.2); the text says what is wrong with it."""


class CommandError(PostroadError):
    """A command line of the peer cannot be parsed; the text is for the log, not for the peer."""


class SaslError(PostroadError):
    """What a client said to log in is not of its mechanism's form, or contradicts itself; the text never quotes it."""


class PeerError(PostroadError):
    """The remote server broke the protocol, or the connection to it broke or timed out."""


class DistrustError(PeerError):
    """The remote server's certificate is not what was demanded; `result` is a result type of RFC 8460 4.3."""

    def __init__(self, words: str, result: str) -> None:
        """`words` say for people why."""
        super().__init__(words)
        self.result = result


class EgressError(PeerError):
    """We cannot send from where we were told to: the source's address or its proxy is the trouble, not the peer."""


class TableError(PostroadError):
    """A table that is looked into cannot answer now; what depends on it is tried again later."""


class DirectoryError(TableError):
    """A directory (LDAP) has no answer now: no server of it can be reached, or none will say; try again later."""


class SpoolError(PostroadError):
    """The spool could not do what was asked; nothing was promised and nothing is lost."""


class DamagedError(SpoolError):
    """A message cannot be read, now or later: its octets have been set aside for people to look at."""


class SpoolFullError(SpoolError):
    """No room: the disk is full, or its free space is under `spool.free_space`."""


class SigningError(PostroadError):
    """A key that is kept elsewhere did not sign; another time it may."""


class DropError(PostroadError):
    """A drop cannot become mail, now or later: the text says what is wrong with it."""


class WorkError(PostroadError):
    """A job for the worker processes has no result; `cause` is the kind of reason in one word."""

    cause = "error"


class WorkOverloadError(WorkError):
    """Too many jobs wait, or none may begin any more; it was not begun."""

    cause = "overload"


class WorkTimeoutError(WorkError):
    """It took longer than it may; its worker was killed."""

    cause = "timeout"


class WorkerLostError(WorkError):
    """Its worker ended, or none could be started."""

    cause = "lost"


class WorkRaisedError(WorkError):
    """The function raised; the text is the exception's type and place, without its words."""

    cause = "raised"


class CountsError(PostroadError):
    """The server that several nodes count in does not answer; this node counts for itself meanwhile."""


class AcmeError(PostroadError):
    """A CA issues no certificate now; the text says why. `wish` are the seconds of peace that it asked for."""

    def __init__(self, reason: str, wish: float = 0.0) -> None:
        """Say so."""
        super().__init__(reason)
        self.wish = wish
