"""SOCKS5 from the client's side without I/O (*pure*): method, user and password, CONNECT to an IP address.

Send what `begin` and `receive` return until `is_done`; `rest` is what the target said already. EgressError is the
proxy's trouble (no method, a wrong password, not allowed), PeerError the target's, as the proxy tells it. RFC 1928,
RFC 1929 2. Buffered are never more than the octets of one reply and what came with it.
"""

from ipaddress import ip_address
from types import MappingProxyType
from typing import Final

from postroad.model.errors import EgressError, PeerError

LIMIT: Final = 255  # octets of user and of password (RFC 1929 2)
_VERSION: Final = 5
_NO_AUTH: Final = 0
_PASSWORD: Final = 2
_NO_METHOD: Final = 0xFF
_CONNECT: Final = 1
_IPV4: Final = 1
_NAME: Final = 3
_IPV6: Final = 4
_LENGTHS: Final = MappingProxyType({_IPV4: 4, _IPV6: 16})
_METHODS: Final = "methods"
_LOGIN: Final = "login"
_REPLY: Final = "reply"
_DONE: Final = ""

# RFC 1928 6. What speaks of the proxy itself is an EgressError, the rest of the target.
_PROXY_WORDS: Final = MappingProxyType(
    {
        2: "connection not allowed by its rules",
        7: "CONNECT is not supported",
        8: "this kind of address is not supported",
    }
)
_TARGET_WORDS: Final = MappingProxyType(
    {
        1: "general failure",
        3: "network is unreachable",
        4: "no route to host",
        5: "connection refused",
        6: "connection timed out (TTL expired)",
    }
)


class Socks5:
    """One handshake; `is_done` when the target is connected."""

    __slots__ = ("_buffer", "_login", "_state", "_target", "rest")

    def __init__(self, address: str, port: int, user: str = "", password: str = "") -> None:
        """Ask for the IP address `address` and `port`, with `user` and `password` where the proxy wants them."""
        ip = ip_address(address)
        kind = _IPV4 if ip.version == 4 else _IPV6
        self._target = bytes((_VERSION, _CONNECT, 0, kind)) + ip.packed + port.to_bytes(2)
        name, word = user.encode(), password.encode()
        if len(name) > LIMIT or len(word) > LIMIT:
            raise ValueError(f"user and password have at most {LIMIT} octets")
        self._login = bytes((1, len(name))) + name + bytes((len(word),)) + word if user else b""
        self._state = _METHODS
        self._buffer = b""
        self.rest = b""

    @property
    def is_done(self) -> bool:
        """True when all further octets are the target's."""
        return not self._state

    def begin(self) -> bytes:
        """The first octets to send: the methods we know."""
        methods = (_NO_AUTH, _PASSWORD) if self._login else (_NO_AUTH,)
        return bytes((_VERSION, len(methods), *methods))

    def receive(self, data: bytes) -> bytes:
        """Take octets of the proxy, give those to send; EgressError or PeerError when there will be no connection."""
        assert not self.is_done
        self._buffer += data
        out = b""
        while self._state in (_METHODS, _LOGIN) and len(self._buffer) >= 2:
            head, self._buffer = self._buffer[:2], self._buffer[2:]
            out += self._take_method(head) if self._state == _METHODS else self._take_login(head)
        if self._state == _REPLY:
            self._take_reply()
        return out

    def _take_method(self, head: bytes) -> bytes:
        version, method = head
        if version != _VERSION:
            raise EgressError("does not speak SOCKS5")
        if method == _NO_AUTH:
            self._state = _REPLY
            return self._target
        if method == _PASSWORD and self._login:
            self._state = _LOGIN
            return self._login
        wants = "takes no user and password" if self._login else "wants a user and password, or another proof"
        raise EgressError(wants if method == _NO_METHOD else f"wants the unknown method {method}")

    def _take_login(self, head: bytes) -> bytes:
        if head[1] != 0:
            raise EgressError("refused the user and password")
        self._state = _REPLY
        return self._target

    def _take_reply(self) -> None:
        buffer = self._buffer
        if buffer and buffer[0] != _VERSION:
            raise EgressError("does not speak SOCKS5")
        if len(buffer) >= 2 and buffer[1]:  # refused: some proxies end right here
            code = buffer[1]
            if code in _PROXY_WORDS:
                raise EgressError(_PROXY_WORDS[code])
            raise PeerError(_TARGET_WORDS.get(code, f"failure {code}"))
        if len(buffer) < 5:
            return
        length = buffer[4] + 1 if buffer[3] == _NAME else _LENGTHS.get(buffer[3])
        if length is None:
            raise EgressError("does not speak SOCKS5")
        end = 4 + length + 2
        if len(buffer) >= end:
            self.rest, self._buffer = buffer[end:], b""
            self._state = _DONE
