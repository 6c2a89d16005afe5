"""The PROXY protocol, version 2, from the side of the one who connects (*pure*).

The header goes ahead of all else and tells a proxy such as HAProxy from which address, to which one it is to
connect on; the proxy answers nothing. Version 2 of the protocol's text, section 2.2 (haproxy.org).
"""

from ipaddress import ip_address
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY: Final = 0x21  # version 2, command PROXY
_TCP4: Final = 0x11
_TCP6: Final = 0x21


def encode_header(source: str, source_port: int, target: str, target_port: int) -> bytes:
    """The header for a TCP connection from `source` to `target`, IP addresses of one family; else ValueError."""
    ours, theirs = ip_address(source), ip_address(target)
    if ours.version != theirs.version:
        raise ValueError(f"{source} and {target} are of different families")
    block = ours.packed + theirs.packed + source_port.to_bytes(2) + target_port.to_bytes(2)
    family = _TCP4 if ours.version == 4 else _TCP6
    return SIGNATURE + bytes((_PROXY, family)) + len(block).to_bytes(2) + block
