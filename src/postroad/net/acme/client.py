"""One order of a certificate from a CA that speaks ACME, by the `acme` library. Blocks: it belongs into a thread.

Imported late (`model.late`). The account's key is kept before the CA hears of it, so that no account is ever lost; the
key of a certificate is made for it alone. RFC 8555 7.3 (accounts), RFC 8555 7.3.4 (external ones), RFC 8555 7.4
(orders), RFC 8555 7.5.1 (challenges), RFC 8737 3 (tls-alpn-01), RFC 9773 4 (times that a CA suggests).
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import josepy
import requests
from acme import challenges, client, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from josepy.b64 import b64encode
from josepy.jwk import JWKEC

from postroad.model.acme import Account, Wanted
from postroad.model.errors import AcmeError
from postroad.net.acme.challenges import ALPN, Challenges
from postroad.net.acme.ordering import MakeClient, Pace
from postroad.net.acme.transport import Door, Network, trust_of
from postroad.net.tls.keyfiles import load_octets
from postroad.net.tls.selfsigned import proof

FIRST_LOOK: Final = 0.2  # seconds until it is asked how an order is, growing
LONGEST_LOOK: Final = 10.0
WORDS_LIMIT: Final = 500
_FORGOTTEN: Final = "accountDoesNotExist"
_MICROS: Final = 1_000_000


class Client:
    """An `AcmeClient`."""

    def __init__(
        self,
        wanted: Wanted,
        account: Account | None,
        keep: Callable[[Account], None],
        shown: Challenges,
        pace: Pace,
    ) -> None:
        """`account` is the one with this CA, `keep` gets it when it is new or another; proofs are put into `shown`."""
        self._wanted = wanted
        self._keep = keep
        self._shown = shown
        self._pace = pace
        self._account = account or Account(_pem(ec.generate_private_key(ec.SECP256R1())).decode())
        self._key = JWKEC(key=load_pem_private_key(self._account.key.encode(), None))
        self._door = Door(pace, trust_of(wanted.ca))

    # -- what is asked for -----------------------------------------------------------------------

    def obtain(self) -> bytes:
        """See `AcmeClient`."""
        wanted = self._wanted
        key = _new_key(wanted.key)
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in wanted.names])
        builder = x509.CertificateSigningRequestBuilder(x509.Name([])).add_extension(names, critical=False)
        request = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        with self._speaking():
            library = self._begin()
            self._register(library)
            try:
                order = self._order(library, request)
                chain = self._carry_out(library, order)
            finally:
                self._shown.clear()
        _check(chain, key, wanted.names)
        return _pem(key) + chain

    def suggestion(self, pem: bytes) -> tuple[int, float]:
        """See `AcmeClient`."""
        with self._speaking():
            moment, again = self._begin().renewal_time(pem)
        seconds = again.timestamp() - self._pace.now() / _MICROS
        return (0 if moment is None else int(moment.timestamp() * _MICROS)), seconds

    # -- the account -----------------------------------------------------------------------------

    def _begin(self) -> client.ClientV2:
        network = Network(self._key, self._door)
        return client.ClientV2(client.ClientV2.get_directory(self._wanted.directory, network), network)

    def _register(self, library: client.ClientV2) -> None:
        """Be known to the CA, by the account that it knows or a new one with the same key."""
        account, contact = self._account, self._wanted.contact
        if account.uri:
            known = messages.RegistrationResource(uri=account.uri, body=messages.Registration())
            library.net.account = known
            if account.contact != contact:
                update = messages.Registration(contact=tuple(f"mailto:{address}" for address in contact))
                library.update_registration(known, update)
                self._keep_account(account.uri)
            return
        self._keep_account("")
        try:
            uri = library.new_account(self._application(library)).uri
        except errors.ConflictError as error:  # it knows the key: we were stopped before its answer was kept
            uri = error.location
            library.net.account = messages.RegistrationResource(uri=uri, body=messages.Registration())
        self._keep_account(uri)

    def _application(self, library: client.ClientV2) -> messages.NewRegistration:
        wanted = self._wanted
        binding = None
        if wanted.kid:
            try:
                public = self._key.public_key()
                binding = messages.ExternalAccountBinding.from_data(
                    public, wanted.kid, wanted.secret, library.directory
                )
            except (ValueError, TypeError):
                raise AcmeError("acme.external_account.key is not in base64url form") from None
        elif library.external_account_required():
            raise AcmeError("this CA wants an account that it knows already: set acme.external_account")
        return messages.NewRegistration.from_data(
            contact=[f"mailto:{address}" for address in wanted.contact],
            external_account_binding=binding,
            terms_of_service_agreed=True,  # acme.agree_tos was checked with the configuration
        )

    def _keep_account(self, uri: str) -> None:
        self._account = Account(self._account.key, uri, self._wanted.contact)
        self._keep(self._account)

    # -- the order -------------------------------------------------------------------------------

    def _order(self, library: client.ClientV2, request: bytes) -> messages.OrderResource:
        try:
            return library.new_order(request)
        except messages.Error as error:
            if error.code != _FORGOTTEN:
                raise
        library.net.account = None
        self._account = Account(self._account.key)
        self._register(library)
        return library.new_order(request)

    def _carry_out(self, library: client.ClientV2, order: messages.OrderResource) -> bytes:
        open_ones = [one for one in order.authorizations if one.body.status == messages.STATUS_PENDING]
        for one in open_ones:
            self._prove(library, one)
        for one in open_ones:
            self._await_proven(library, one)
        for pause in self._pauses():
            found = self._get(library, order.uri).json()
            match found.get("status"):
                case "ready":
                    library.begin_finalization(order)
                case "valid":
                    return self._get(library, str(found["certificate"])).text.encode("ascii")
                case "invalid":
                    raise AcmeError(
                        _words(found.get("error")) or "the CA calls the order invalid, and does not say why"
                    )
            self._pace.wait(pause)
        raise AssertionError("pauses have no end")

    def _prove(self, library: client.ClientV2, one: messages.AuthorizationResource) -> None:
        """Show that a name is ours, and have the CA look."""
        name, kind = one.body.identifier.value, self._wanted.challenge
        found = [body for body in one.body.challenges if body.chall.to_partial_json().get("type") == kind]
        if not found:
            raise AcmeError(f"{name}: the CA does not offer {kind}")
        token = str(found[0].chall.to_partial_json()["token"])
        thumbprint = b64encode(self._key.thumbprint()).decode()
        authorization = f"{token}.{thumbprint}"
        if kind == "http-01":
            self._shown.show_answer(token, authorization)
        else:
            self._shown.show_context(name, _context(proof(name, authorization, self._pace.now())))
        library.answer_challenge(found[0], challenges.HTTP01Response(key_authorization=authorization))

    def _await_proven(self, library: client.ClientV2, one: messages.AuthorizationResource) -> None:
        for pause in self._pauses():
            found = self._get(library, one.uri).json()
            status = found.get("status")
            if status == "valid":
                return
            if status not in {"pending", "processing"}:
                said = [_words(each.get("error")) for each in found.get("challenges", ()) if each.get("error")]
                raise AcmeError(f"{one.body.identifier.value}: not proven: {'; '.join(said) or status}")
            self._pace.wait(pause)

    def _pauses(self) -> Iterator[float]:
        """Seconds until the next look: what the CA asked for, else growing."""
        pause = FIRST_LOOK
        while True:
            yield self._door.wish or pause
            pause = min(pause * 1.5, LONGEST_LOOK)

    @staticmethod
    def _get(library: client.ClientV2, url: str) -> requests.Response:
        """What stands at `url`, by POST-as-GET (RFC 8555 6.3)."""
        return library.net.post(url, None, new_nonce_url=library.directory["newNonce"])

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Whatever goes wrong with the CA is an AcmeError."""
        try:
            yield
        except messages.Error as error:
            raise AcmeError(_shortened(_told(error)), self._door.wish) from None
        except errors.ARIError as error:
            raise AcmeError(f"the CA does not say when to renew: {_shortened(_cause(error))}") from None
        except requests.RequestException as error:
            raise AcmeError(f"{self._wanted.directory} cannot be reached: {_shortened(_cause(error))}") from None
        except errors.ClientError as error:
            raise AcmeError(_answered(error), self._door.wish) from None
        except OSError as error:  # the file of certificates
            raise AcmeError(_shortened(str(error))) from None
        except (errors.Error, josepy.errors.Error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise AcmeError(f"what the CA answers makes no sense: {_shortened(str(error))}") from None


def _check(chain: bytes, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, names: tuple[str, ...]) -> None:
    """A chain that is not for our key and names must never come into force."""
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
        listed = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        missing = set(names) - {name.lower() for name in listed.get_values_for_type(x509.DNSName)}
    except (ValueError, x509.ExtensionNotFound):
        raise AcmeError("what the CA issued is no certificate that can be read") from None
    if missing or first.public_key() != key.public_key():
        raise AcmeError("what the CA issued is not for what was asked")


def _new_key(kind: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    if kind == "rsa-2048":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _context(pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_octets(context, pem, pem)
    context.set_alpn_protocols([ALPN])
    return context


# -- in words --------------------------------------------------------------------------------------


def _told(error: messages.Error) -> str:
    """What the CA says is wrong, with the parts of it."""
    parts = [error, *(error.subproblems or ())]
    said = [f"{'' if one.identifier is None else one.identifier.value + ': '}{one.detail or one.typ}" for one in parts]
    kind = str(error.typ).rpartition(":")[2]
    return f"{'; '.join(said)} ({kind})"


def _answered(error: errors.ClientError) -> str:
    found = error.args[0] if error.args else None
    if isinstance(found, requests.Response):
        return f"the CA answers {found.status_code} without a word of why"
    return f"what the CA answers makes no sense: {_shortened(str(error))}"


def _words(problem: object) -> str:
    if not isinstance(problem, dict):
        return ""
    return _shortened(f"{problem.get('detail', '')} ({str(problem.get('type', '')).rpartition(':')[2]})")


def _cause(error: BaseException) -> str:
    """The innermost reason: what stands around it is about the library."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        seen.append(found)
        inner = next((part for part in found.args if isinstance(part, BaseException)), None)
        found = inner or getattr(found, "reason", None) or found.__cause__ or found.__context__
        if not isinstance(found, BaseException):
            break
    last = seen[-1]
    return getattr(last, "verify_message", "") or getattr(last, "strerror", "") or str(last) or type(last).__name__


def _shortened(text: str) -> str:
    """In one line that can be shown."""
    return " ".join("".join(part if part.isprintable() else " " for part in text).split())[:WORDS_LIMIT]


make_client: Final[MakeClient] = Client
