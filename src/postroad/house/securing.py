"""TLS with clients as a process of this house has it: its certificates, and how each listener's sessions come by them.

Certificates are read before root is given up; processes that are begun later have what was read then in memory, should
they not be allowed to read a key themselves.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from postroad.config.checks.tls import mode_of, plans_of
from postroad.config.schema import Config
from postroad.listener.handshakes import Handshakes, Tls
from postroad.model.late import Late
from postroad.net.acme.ordering import MakeStandIn
from postroad.net.clock import Clock, SystemClock
from postroad.net.tls.certificates import Certificates
from postroad.net.tls.exporter import Exporter
from postroad.net.tls.keyfiles import KeyStore

STAND_IN: Final = Late[MakeStandIn]("postroad.net.tls.selfsigned", "make_stand_in")


def read_certificates(config: Config, keys: KeyStore, old: Certificates | None = None) -> Certificates:
    """Those of `config`, or `old` when nothing would be different; ConfigError when one cannot be used. Slow."""
    plans = plans_of(config)
    if config.acme_files is not None:
        keys.stand_in(config.acme_files, partial(_stand_in, config))
    if old is not None and old.plans == plans and not old.has_changed():
        return old
    return Certificates(plans, keys)


def _stand_in(config: Config) -> bytes:
    """What clients see until the first certificate by ACME is there: enough for those who do not verify."""
    names = () if config.acme is None else config.acme.names
    return STAND_IN.load()(names or (config.hostname,), SystemClock().now())


def tls_of(config: Config, certificates: Certificates, clock: Clock) -> Mapping[str, Tls]:
    """What the sessions of each listener that has TLS are told."""
    if not certificates.plans:
        return {}
    handshakes = Handshakes(config.tls.handshakes, clock.monotonic)
    exporter = Exporter()
    return {name: _tls(config, name, certificates, handshakes, exporter) for name in certificates.plans}


def _tls(config: Config, name: str, certificates: Certificates, handshakes: Handshakes, exporter: Exporter) -> Tls:
    mode = mode_of(config, config.listeners[name])
    return Tls(
        context=certificates.contexts(name),
        handshakes=handshakes,
        exporter=exporter,
        timeout=config.tls.handshake_timeout,
        is_implicit=mode == "implicit",
        is_required=mode == "required",
    )
