"""This host's own name, for the default of `hostname`.

What `hostname -f` prints: the canonical name the system's resolver gives for the node's name, from
/etc/hosts or DNS; the node's name itself when nothing better is known. Asked once, at start.
"""

import socket


def host_name() -> str:
    """The fully qualified name, in lower case, or the bare node name; never raises."""
    node = socket.gethostname()
    try:
        found = socket.getaddrinfo(node, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    except OSError:
        return node.lower()
    canonical = found[0][3].rstrip(".").lower()
    return canonical if "." in canonical else node.lower()
