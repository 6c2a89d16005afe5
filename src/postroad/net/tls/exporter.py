"""The channel binding of TLS 1.3, tls-exporter (RFC 9266 2), which Python's ssl module does not give.

OpenSSL has it (SSL_export_keying_material), and it is asked through the connection's own pointer. Invariant: that
pointer is used only when what stands behind it in memory is the connection's context, which proves that the object is
laid out as expected; whatever is not as expected means that there is no binding, and -PLUS is not offered.
"""

import _ssl
import ctypes
import ssl
from typing import Final

LABEL: Final = b"EXPORTER-Channel-Binding"
OCTETS: Final = 32
_POINTER: Final = ctypes.sizeof(ctypes.c_void_p)


class Exporter:
    """OpenSSL's function, found once."""

    def __init__(self) -> None:
        """Of the library that the ssl module itself uses."""
        self._export: ctypes._NamedFuncPointer | None
        try:
            # The symbol is looked for in what the module is linked with; without a file it is in the program itself.
            self._export = ctypes.CDLL(getattr(_ssl, "__file__", None)).SSL_export_keying_material
        except (AttributeError, OSError):
            self._export = None
            return
        size, text = ctypes.c_size_t, ctypes.c_char_p
        self._export.argtypes = [ctypes.c_void_p, text, size, text, size, text, size, ctypes.c_int]
        self._export.restype = ctypes.c_int

    def binding(self, connection: ssl.SSLObject | ssl.SSLSocket) -> bytes:
        """The binding of `connection`, b"" when there is none: it is not of TLS 1.3, or cannot be had."""
        export = self._export
        inner = getattr(connection, "_sslobj", None)
        if export is None or inner is None or connection.version() != "TLSv1.3":
            return b""
        pointer = _pointer_of(inner)
        if not pointer:
            return b""
        out = ctypes.create_string_buffer(OCTETS)
        done = export(pointer, out, OCTETS, LABEL, len(LABEL), b"", 0, 1)
        return out.raw if done == 1 else b""


def _pointer_of(inner: object) -> int:
    """Where OpenSSL's connection is: behind the object's head come its socket, that, and its context."""
    head = object.__basicsize__
    if type(inner).__basicsize__ < head + 3 * _POINTER:
        return 0
    _, pointer, context = (ctypes.c_void_p * 3).from_address(id(inner) + head)
    return pointer or 0 if context == id(getattr(inner, "context", None)) else 0
