"""The policies of one listener, a chain for each stage that has any.

The order of a session: connect, hello, auth, mail, rcpt, data, message. A stage without policies costs nothing: its
chain is None and its default holds. That is to accept, but at rcpt to refuse: what no policy takes is not relayed.
"""

from msgspec import Struct

from postroad.policy.chain import Chain
from postroad.policy.context import (
    AuthContext,
    ConnectContext,
    DataContext,
    HelloContext,
    MailContext,
    MessageContext,
    RcptContext,
)


class Stages(Struct, frozen=True, kw_only=True):
    """One chain a stage, None where nobody has an opinion."""

    rcpt: Chain[RcptContext]
    connect: Chain[ConnectContext] | None = None
    hello: Chain[HelloContext] | None = None
    auth: Chain[AuthContext] | None = None
    mail: Chain[MailContext] | None = None
    data: Chain[DataContext] | None = None
    message: Chain[MessageContext] | None = None
