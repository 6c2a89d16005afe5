"""What `postroad explain` tells of TLS: what the listener asks of the client, and what a target must have.

The demand on a target is the one that a delivery makes, so that nothing is left out because nobody said it: what
`[delivery] tls` has counts too.
"""

from collections.abc import Sequence

from postroad.config.schema import Config
from postroad.delivery.encryption import demand_of
from postroad.delivery.settings import DeliverySettings
from postroad.model.route import CAPTURE, TLS_OPTIONAL, TLS_REQUIRETLS, Target
from postroad.smtp.replies import NEEDS_TLS


def asked_of_client(config: Config, listener: str, state: str) -> str:
    """What `listener` asks of TLS that a client does not do who comes as `--tls` says; "" when nothing is amiss."""
    settings = config.listeners[listener]
    if state == "none":
        match settings.tls:
            case "required":
                return f'listeners.{listener}.tls = "required": {NEEDS_TLS} (if it came with --tls any:)'
            case "implicit":
                return f'listeners.{listener}.tls = "implicit": cut off without TLS (if it came with --tls any:)'
            case _:
                return ""
    if settings.client_certificates == "require" and state != "verified":
        option = f'listeners.{listener}.client_certificates = "require"'
        return f"{option}: the handshake ends without one (if it came with --tls verified:)"
    return ""


def wish_of(headers: Sequence[str], *, requiretls: bool) -> str:
    """What the sender wants of TLS on the way (RFC 8689 4.1): the word of `Envelope.tls`."""
    if requiretls:
        return TLS_REQUIRETLS
    fields = (text.partition(":") for text in headers)
    waives = any(name.strip().lower() == "tls-required" and value.strip().lower() == "no" for name, _, value in fields)
    return TLS_OPTIONAL if waives else ""


def demand_on(settings: DeliverySettings, target: Target) -> tuple[str, str]:
    """What TLS `target` must have where `settings` hold, and who says so; nothing for a folder."""
    if target.scheme == CAPTURE:
        return "", ""
    demand = demand_of(target, settings)
    testing = " (testing)" if demand.testing else ""
    return f"{demand.level}{testing}", f"{demand.source}: {demand.reason}"
