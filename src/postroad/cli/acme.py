"""`postroad acme`: how the certificate by ACME is, and asking for a new one now.

`status` reads what the server keeps, so it works while the server is down; `renew` tells the running server.
"""

import msgspec
import typer

from postroad.cli.control import ask
from postroad.cli.exits import NO_INPUT, OK, complain, guarded
from postroad.cli.layout import printable
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.desk.protocol import CertificateAsked
from postroad.doctor.certificates import judged, when
from postroad.doctor.finding import Level
from postroad.net.clock import SystemClock
from postroad.net.tls.certfacts import life_of
from postroad.net.tls.keyfiles import READ_FACTS
from postroad.store.acme import AcmeFolder

FOUND = 1  # something is wrong


@guarded
def status(config: ConfigFile = None, as_json: Json = False) -> int:
    """Show the certificate, when it is renewed, and what went wrong last; leaves with 1 when something is wrong.

    Example: postroad acme status -c /etc/postroad/postroad.toml
    """
    loaded = configuration(config)
    if loaded.acme is None:
        complain("the configuration has no [acme]")
        return NO_INPUT
    folder = AcmeFolder(loaded.acme_folder)
    pem, state = folder.certificate(), folder.state()
    life = life_of(READ_FACTS.load()(pem)) if pem else None
    names = loaded.acme.names or (loaded.hostname,)
    finding = judged(life, state, names, loaded.acme.renew_before, SystemClock().now())
    if as_json:
        print(msgspec.json.encode({"certificate": life, "state": state, "finding": finding}).decode())
    else:
        print(f"{loaded.acme.directory}: {printable(finding.what)}")
        if state.tried:
            print(f"asked last at {when(state.tried)}")
        if finding.mend:
            print(f"-> {finding.mend}")
    return OK if finding.level is Level.OK else FOUND


@guarded
def renew(config: ConfigFile = None) -> int:
    """Let the running server ask for a new certificate now, though a pause may not be over.

    Example: postroad acme renew && sleep 60 && postroad acme status
    """
    for _ in ask(configuration(config), CertificateAsked()):
        print("it is asked for; `postroad acme status` tells what comes of it")
    return OK


def build() -> typer.Typer:
    """`postroad acme` with its commands."""
    program = typer.Typer(no_args_is_help=True, help="Certificates by ACME: how they are, and asking for a new one.")
    program.command("status")(status)
    program.command("renew")(renew)
    return program
