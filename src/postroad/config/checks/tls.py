"""`[tls]` and what listeners make of it: rules across options, what lies in the files, and the plans of a server.

Rules are pure functions of the configuration. `check_tls_files` reads certificates and keys, as `postroad check` does;
a certificate that has expired is a doubt alone, for mail must go on, and a key that only root can read another.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from postroad.config.describe import value_text
from postroad.config.locate import KeyPath
from postroad.config.problem import Problem, Warned, path_text
from postroad.config.schema import Config
from postroad.listener.settings import ListenerSettings
from postroad.model.errors import ConfigError
from postroad.model.option import parse_endpoint
from postroad.net.process.rights import can_read
from postroad.net.tls.certfacts import CertificateFacts
from postroad.net.tls.certificates import WARN_DAYS, Plan
from postroad.net.tls.keyfiles import KeyFiles, KeyStore
from postroad.net.tls.server import Security
from postroad.net.tls.settings import NONE

Mode = Literal["off", "starttls", "required", "implicit"]
_DAY: Final = 86_400_000_000
_SUBMISSIONS: Final = 465  # RFC 8314 7.3
_PLAIN_PORTS: Final = (25, 587)


def mode_of(config: Config, listener: ListenerSettings) -> Mode:
    """How `listener` comes by TLS."""
    if listener.tls != "default":
        return listener.tls
    return "off" if listener.files is None and _has_none(config) else "starttls"


def _has_none(config: Config) -> bool:
    """True when there is no certificate for all listeners."""
    return config.tls.files is None and config.acme is None


def plans_of(config: Config) -> dict[str, Plan]:
    """The plans of the listeners that have TLS."""
    return {
        name: _plan(config, listener)
        for name, listener in config.listeners.items()
        if mode_of(config, listener) != "off"
    }


def _plan(config: Config, listener: ListenerSettings) -> Plan:
    tls = config.tls
    security = Security(tls.minimum_version, tls.ciphers, listener.legacy_tls, listener.client_certificates)
    own = [(files, ()) for files in (listener.files, tls.files, config.acme_files) if files is not None]
    further = [(one.files, one.names) for one in tls.certificates]
    wants_clients = listener.client_certificates != "off"
    return Plan(security, (*own, *further), listener.client_ca if wants_clients else None)


# -- rules -----------------------------------------------------------------------------------------


def tls_rules(config: Config) -> Iterator[Problem]:
    """Options that contradict one another, or have no effect."""
    tls = config.tls
    if tls.certificate == NONE:
        if tls.key != NONE:
            yield Problem(("tls", "key"), f"{value_text(str(tls.key))}: is of no use without tls.certificate")
        if tls.certificates and config.acme is None:
            yield Problem(("tls", "certificates"), "needs tls.certificate, for clients that ask for no name")
    modes = {name: mode_of(config, listener) for name, listener in config.listeners.items()}
    for name, listener in config.listeners.items():
        yield from _listener_rules(config, ("listeners", name), listener, modes[name])
    if tls.certificate != NONE and not set(modes.values()) - {"off"}:
        yield Warned(("tls", "certificate"), 'has no effect: every listener has tls = "off"')
    if config.acme is not None and not set(modes.values()) - {"off"}:
        yield Warned(("acme",), 'has no effect on mail: every listener has tls = "off"')


def _listener_rules(config: Config, path: KeyPath, listener: ListenerSettings, mode: Mode) -> Iterator[Problem]:
    if listener.key != NONE and listener.certificate == NONE:
        other = path_text((*path, "certificate"))
        yield Problem((*path, "key"), f"{value_text(str(listener.key))}: is of no use without {other}")
    if mode != "off" and listener.files is None and _has_none(config):
        words = f"{value_text(mode)}: needs a certificate; set tls.certificate and tls.key, or [acme]"
        yield Problem((*path, "tls"), words)
    if listener.client_certificates != "off" and listener.client_ca == NONE:
        words = value_text(listener.client_certificates)
        yield Problem((*path, "client_certificates"), f"{words}: needs {path_text((*path, 'client_ca'))}")
    if listener.client_certificates == "off" and listener.client_ca != NONE:
        yield Warned((*path, "client_ca"), 'has no effect without client_certificates = "request" or "require"')
    if mode == "off":
        for option in ("certificate", "client_certificates", "legacy_tls"):
            if option in listener.model_fields_set and getattr(listener, option) not in {NONE, "off", False}:
                yield Warned((*path, option), "has no effect: this listener has no TLS")
    yield from _port_rules(path, listener, mode)


def _port_rules(path: KeyPath, listener: ListenerSettings, mode: Mode) -> Iterator[Problem]:
    for at, bind in enumerate(listener.bind):
        port = parse_endpoint(bind)[1]
        if port == _SUBMISSIONS and mode != "implicit":
            yield Warned((*path, "bind", at), f'{value_text(bind)}: clients expect tls = "implicit" at this port')
        elif port in _PLAIN_PORTS and mode == "implicit":
            yield Warned((*path, "bind", at), f"{value_text(bind)}: clients begin without TLS at this port")


# -- files -----------------------------------------------------------------------------------------


def check_tls_files(config: Config, now: int) -> Iterator[Problem]:
    """What is wrong with certificates, keys and client authorities, or soon will be; `now` as records have it."""
    keys = KeyStore()
    for path, files in _pairs(config):
        unseen = [one for one in files.paths if _is_shut(one)]
        if unseen:
            yield Warned(path, f"{value_text(str(unseen[0]))}: cannot be read by who runs this, so it is not checked")
            continue
        try:
            pair = keys.read(files)
        except ConfigError as error:
            yield Problem(path, str(error))
        else:
            yield from _times(path, files, pair.facts, now)
            if files.key.stat().st_mode & stat.S_IROTH:
                yield Warned(path, f"{value_text(str(files.key))}: everybody can read the key; chmod 640, or 600")
    for name, listener in config.listeners.items():
        if listener.client_certificates != "off" and listener.client_ca != NONE:
            try:
                keys.authorities(listener.client_ca)
            except ConfigError as error:
                yield Problem(("listeners", name, "client_ca"), str(error))


def _is_shut(file: Path) -> bool:
    """True when it is, or may be, there and not for us to read."""
    try:
        file.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(file, os.R_OK)


def _pairs(config: Config) -> Iterator[tuple[KeyPath, KeyFiles]]:
    if config.tls.files is not None:
        yield ("tls", "certificate"), config.tls.files
    for at, one in enumerate(config.tls.certificates):
        yield ("tls", "certificates", at, "certificate"), one.files
    for name, listener in config.listeners.items():
        if listener.files is not None:
            yield ("listeners", name, "certificate"), listener.files


def _times(path: KeyPath, files: KeyFiles, facts: CertificateFacts, now: int) -> Iterator[Problem]:
    file, days = value_text(str(files.certificate)), (facts.expires - now) // _DAY
    if now < facts.starts:
        yield Warned(path, f"{file}: is not valid yet; clients that verify it will refuse it")
    if now >= facts.expires:
        yield Warned(path, f"{file}: has expired; clients that verify it refuse it")
    elif days < WARN_DAYS:
        yield Warned(path, f"{file}: expires in {days} day{'' if days == 1 else 's'}")


def check_key_access(config: Config) -> Iterator[Problem]:
    """Files that are read as root at the start, and cannot be read again when they change."""
    user = config.process.user
    if not user or os.geteuid() != 0:
        return
    for path, files in _pairs(config):
        for file in files.paths:
            if file.exists() and not can_read(user, file):
                yield Warned(path, _shut(user, file))
                break


def _shut(user: str, file: Path) -> str:
    return (
        f"{value_text(str(file))}: can be read at the start alone, and not again when it changes: "
        f"give the user {user} the right to read it, or restart after each change"
    )
