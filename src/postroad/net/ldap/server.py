"""Where a server of a directory is: its URL, of which scheme, host and port count (RFC 4516 2).

The scheme "ldaps" stands for TLS from the first octet. Names, filters and anything else of a URL belong
to options of their own.
"""

from urllib.parse import urlsplit

from msgspec import Struct


class LdapServer(Struct, frozen=True, gc=False):
    """Where one server is; `is_implicit`: TLS from the first octet (ldaps)."""

    host: str
    port: int
    is_implicit: bool = False

    def __str__(self) -> str:
        """Its URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if self.is_implicit else 'ldap'}://{host}:{self.port}"


def parse_server(text: str) -> LdapServer:
    """The server of "ldaps://host", "ldap://host:389"; ValueError tells what is accepted."""
    url = urlsplit(text)
    known = {"ldap": 389, "ldaps": 636}
    try:
        port = url.port
    except ValueError:
        port = -1
    plain = not (url.path.strip("/") or url.query or url.fragment or url.username or url.password)
    if url.scheme not in known or not url.hostname or port in {-1, 0} or not plain:
        raise ValueError(f'{text!r} is not a server; write it like "ldaps://dc1.example.com" or "ldap://host:389"')
    return LdapServer(url.hostname, port or known[url.scheme], url.scheme == "ldaps")
