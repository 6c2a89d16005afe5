"""What an intake asks of whoever signs mail, and how such a one is made: types alone.

Apart from `signing`, which is loaded only where a configuration has keys.
"""

from collections.abc import Callable

from postroad.listener.signsettings import DkimSettings
from postroad.listener.transaction import Transaction
from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.option import Secret
from postroad.model.record import Record
from postroad.spool.draft import Draft

Signed = Callable[[Envelope, Record | None], None]  # the envelope to be stored, and what is to be told of it
Unreadable = Callable[[SpoolError], None]
# Puts signatures on top of the envelope's prefix. It is given the beginning of the content, with its whole header
# section, and the content; it calls one of the two functions, now or later.
Sign = Callable[[Transaction, Envelope, bytes, bytes | Draft, Signed, Unreadable], None]
ReadSecret = Callable[[Secret, str], str]
MakeSign = Callable[[DkimSettings, ReadSecret], Sign]
