"""Whether the kernel believes that its clock is right: the state that NTP daemons keep there (adjtimex(2)).

Read alone: nothing is set. Where the call is not to be had nothing is known.
"""

import ctypes
from typing import Final

from msgspec import Struct

_UNSYNCHRONISED: Final = 5  # TIME_ERROR, what adjtimex returns
_SIZE: Final = 208 + 64  # octets of struct timex on 64-bit Linux, and some to spare
_LONG: Final = ctypes.sizeof(ctypes.c_long)
_ERROR_AT: Final = 3 * _LONG  # offset of `maxerror`, in microseconds, behind modes, offset and freq


class ClockState(Struct, frozen=True):
    """`error` is how far it may be off, in seconds, as the kernel estimates it; of use only when synchronised."""

    is_synchronised: bool
    error: float


def clock_state() -> ClockState | None:
    """What the kernel thinks of its clock; None when it does not tell."""
    buffer = ctypes.create_string_buffer(_SIZE)  # zero: modes of nothing to set
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    error = int.from_bytes(buffer.raw[_ERROR_AT : _ERROR_AT + _LONG], "little", signed=True)
    return ClockState(state != _UNSYNCHRONISED, error / 1_000_000)
