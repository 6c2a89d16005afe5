"""A private directory: slapd of OpenLDAP with a schema and entries like those of Active Directory, on loopback ports.

`Slapd(ldif)` listens for LDAP (with StartTLS) and LDAPS on 127.0.0.1 and 127.0.0.2; its certificate, of a test CA, is
for "localhost" and 127.0.0.1 alone. Entries go in over LDAP, so that the overlay makes memberOf of member. It can be
killed, frozen and started again. Needs the Debian packages `slapd`, `ldap-utils` and `openssl`.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

from tests.support.ports import free_port

SUFFIX: Final = "dc=example,dc=com"
ADMIN: Final = f"cn=admin,{SUFFIX}"  # sees and changes everything
ADMIN_PASSWORD: Final = "of the administrator"
READER: Final = f"cn=reader,{SUFFIX}"  # sees everything but passwords
READER_PASSWORD: Final = "of the reader"
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0

Attributes = Mapping[str, str | list[str]]
NONE: Final[Attributes] = MappingProxyType({})

SCHEMA: Final = """\
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch
  SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch
  SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch
  SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.1460 NAME 'msDS-User-Account-Control-Computed' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.662 NAME 'lockoutTime' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.159 NAME 'accountExpires' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.96 NAME 'pwdLastSet' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.236 NAME 'publicDelegates' EQUALITY distinguishedNameMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )
attributetype ( 1.2.840.113556.1.4.7000.102.50811 NAME 'msExchDelegateListLink' EQUALITY distinguishedNameMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP inetOrgPerson STRUCTURAL
  MAY ( userPrincipalName $ sAMAccountName $ proxyAddresses $ userAccountControl $ lockoutTime $ accountExpires
    $ msDS-User-Account-Control-Computed $ pwdLastSet $ publicDelegates $ msExchDelegateListLink ) )
objectclass ( 1.2.840.113556.1.5.8 NAME 'group' SUP top STRUCTURAL
  MUST cn MAY ( member $ mail $ proxyAddresses $ sAMAccountName $ description ) )
"""
CONFIGURATION: Final = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include {folder}/ad.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {folder}/pid
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
threads 4
sizelimit 500
database mdb
suffix "{suffix}"
rootdn "{admin}"
rootpw "{password}"
directory {folder}/data
maxsize 33554432
dbnosync
index objectClass,userPrincipalName,sAMAccountName,mail,proxyAddresses,member eq
overlay memberof
memberof-group-oc group
memberof-member-ad member
memberof-memberof-ad memberOf
access to attrs=userPassword by anonymous auth by * none
access to * by dn.base="{reader}" read by dn.subtree="{suffix}" read by * none
"""
BASE_LDIF: Final = f"""\
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: {READER}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: {READER_PASSWORD}
"""


class Slapd:
    """One private server; usable as a context. `ldif` is what is in it, but for its top and the reader."""

    def __init__(self, ldif: str = "") -> None:
        self.port = free_port()
        self.tls_port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="slapd-"))
        self.ca = self.folder / "ca.pem"
        self._process: subprocess.Popen[bytes] | None = None
        (self.folder / "data").mkdir()
        (self.folder / "ad.schema").write_text(SCHEMA)
        (self.folder / "slapd.conf").write_text(
            CONFIGURATION.format(folder=self.folder, suffix=SUFFIX, admin=ADMIN, password=ADMIN_PASSWORD, reader=READER)
        )
        make_ca(self.folder)
        self._ldif = f"{BASE_LDIF}\n{ldif}"

    def __enter__(self) -> Self:
        self.start()
        try:
            self.change(self._ldif, add=True)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """For LDAP and StartTLS, by a name that the certificate has."""
        return f"ldap://localhost:{self.port}"

    @property
    def tls_url(self) -> str:
        """For LDAPS, by an address that the certificate has."""
        return f"ldaps://127.0.0.1:{self.tls_port}"

    def start(self, *, with_tls: bool = True) -> None:
        """Start, and wait until it answers."""
        ports = (("ldap", self.port), ("ldaps", self.tls_port)) if with_tls else (("ldap", self.port),)
        urls = [f"{scheme}://{host}:{port}/" for host in ("127.0.0.1", "127.0.0.2") for scheme, port in ports]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/slapd", "-d", "0", "-f", str(self.folder / "slapd.conf"), "-h", " ".join(urls)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._run("ldapsearch", "-s", "base", "-b", "", "1.1").returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError(f"slapd did not start: {(self.folder / 'log').read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """Kill it at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """Let it hear and say nothing until `thaw`; the system still takes connections for it."""
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_SECONDS
        while self._process is not None and not _is_stopped(self._process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)

    def thaw(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def change(self, ldif: str, *, add: bool = False) -> None:
        """Make the changes, or with `add` the entries, of `ldif`."""
        done = self._run("ldapmodify", *(["-a"] if add else []), stdin=ldif)
        if done.returncode:
            raise RuntimeError(done.stderr)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        who = ["-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", ADMIN, "-w", ADMIN_PASSWORD]
        return subprocess.run(
            [program, *who, "-o", "nettimeout=5", *arguments],
            input=stdin,
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "LDAPNOINIT": "1"},
            timeout=START_SECONDS,
        )


def _is_stopped(pid: int) -> bool:
    """True when every thread of the process stands still."""
    states = [task / "stat" for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(state.read_text().rpartition(")")[2].split()[0] == "T" for state in states)


def make_ca(folder: Path) -> None:
    """A CA (ca.pem), and a certificate of it for localhost and 127.0.0.1 (server.pem, server.key), in `folder`."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl(
        folder,
        *("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=Test CA"),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    _openssl(folder, "req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    _openssl(
        folder,
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-out", "server.pem", "-days", "30", "-extfile", "names"),
    )


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder, timeout=START_SECONDS)


def user(name: str, *, password: str = "", below: str = f"cn=users,{SUFFIX}", attributes: Attributes = NONE) -> str:
    """The LDIF of a user."""
    comma = "\\,"
    lines = [f"dn: cn={name.replace(',', comma)},{below}", "objectClass: user", f"cn: {name}", f"sn: {name}"]
    lines += [f"userPassword: {password}"] if password else []
    return "\n".join((*lines, *_values(attributes))) + "\n\n"


def group(name: str, *members: str, below: str = f"cn=groups,{SUFFIX}", attributes: Attributes = NONE) -> str:
    """The LDIF of a group with these members' names."""
    lines = [f"dn: cn={name},{below}", "objectClass: group", f"cn: {name}"]
    lines += [f"member: {member}" for member in members]
    return "\n".join((*lines, *_values(attributes))) + "\n\n"


def folder_of(name: str) -> str:
    """The LDIF of a container such as cn=users."""
    return f"dn: cn={name},{SUFFIX}\nobjectClass: organizationalRole\ncn: {name}\n\n"


def _values(attributes: Attributes) -> list[str]:
    return [
        f"{name}: {value}"
        for name, values in attributes.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
