"""What an intake asks of whoever signs mail, and how such a one is made: types alone.

Apart from `signing`, which is loaded only where a configuration has keys.
"""

from collections.abc import Callable

from postroad.listener.signsettings import DkimSettings
from postroad.listener.transaction import Transaction
from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.option import Secret
from postroad.spool.draft import Draft

# Puts signatures on top of the envelope's prefix. It is given the beginning of the content, with its whole header
# section, and the content; it calls one of the two functions, now or later.
Sign = Callable[
    [Transaction, Envelope, bytes, bytes | Draft, Callable[[Envelope], None], Callable[[SpoolError], None]], None
]
ReadSecret = Callable[[Secret, str], str]
MakeSign = Callable[[DkimSettings, ReadSecret], Sign]
