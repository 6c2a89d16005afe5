"""`postroad key`: make a key for the HTTP API.

The key goes to whoever will use it; the server needs only its digest, which stands in the configuration. Nothing is
written anywhere.
"""

import secrets
from hashlib import sha256
from typing import Annotated, Final

import typer

from postroad.api.keys import MARK
from postroad.api.settings import key_name
from postroad.cli.exits import OK, guarded

OCTETS: Final = 32  # of chance in a key


@guarded
def make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that the key will have.")] = "NAME",
) -> int:
    """Make a random key for the HTTP API, and the lines that let it in.

    Example: postroad key shop
    """
    try:
        key_name(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    key = f"pr_{secrets.token_urlsafe(OCTETS)}"
    digest = sha256(key.encode()).hexdigest()
    print(f"# For the client, which sends it as: Authorization: Bearer {key}")
    print("# It is shown this once. For the server's configuration:")
    print(f'[api.keys.{name}]\nkey = "{MARK}{digest}"\nsenders = ["example.com"]  # who it may send as')
    return OK
