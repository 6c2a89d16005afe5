"""TLS between what we ask of everybody and what a host says or wants: nothing is taken back, and nothing hangs."""

import ssl
from functools import partial

import pytest

from postroad.model.outcome import Deferred, Delivered
from postroad.model.route import SMTP, SMTPS, Target
from postroad.model.security import BY_DANE, BY_STS, OPPORTUNISTIC, REQUIRED, VERIFIED, Security
from tests.support.certified import HOST, STARTTLS, Place, at, place_in, send, server
from tests.support.delivering import Sender
from tests.support.peer import Hang, Peer, Step


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place_in(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("implicit", [False, True])
async def test_a_host_that_wants_a_certificate_of_ours(
    place: Place, version: ssl.TLSVersion, *, implicit: bool
) -> None:
    """TLS 1.3 has the client's handshake succeed first: that it is refused comes with the first octets under TLS."""
    context = server(place.good, version)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(place.authority.file)
    scheme = SMTPS if implicit else SMTP
    async with Peer(extensions=STARTTLS, tls=context, implicit_tls=implicit) as peer, Sender(tls="required") as sender:
        target = Target(scheme, HOST, peer.host, peer.port)
        outcome = await send(sender, target)
        assert isinstance(outcome, Deferred)
        assert outcome.reply.enhanced == "4.7.4"
        assert "fails at it: " in outcome.reply.text
        assert peer.taken == []
    if not implicit:
        async with Peer(extensions=STARTTLS, tls=context) as peer, Sender(tls="opportunistic") as sender:
            outcome = await send(sender, at(peer, None))
            assert isinstance(outcome, Delivered)
            assert outcome.secured is not None
            assert outcome.secured.words.startswith("plain text: TLS failed: ")
            assert ("wants a client certificate" in outcome.secured.words) == (version == ssl.TLSVersion.TLSv1_3)
        assert len(peer.taken) == 1


async def test_silence_under_tls_is_no_failure_of_it(place: Place) -> None:
    script: dict[str, list[Step]] = {"EHLO": ["250-here\r\n250 STARTTLS", Hang()]}
    kit = partial(Sender, tls="opportunistic", command_timeout="0.2s")
    async with Peer(extensions=STARTTLS, tls=server(place.good), script=script) as peer, kit() as sender:
        outcome = await send(sender, at(peer, None))
    assert isinstance(outcome, Deferred)
    assert outcome.reply.enhanced == "4.4.2"
    assert peer.verbs().count("STARTTLS") == 1


@pytest.mark.parametrize(
    ("ours", "theirs", "enhanced"),
    [
        ("required", Security(OPPORTUNISTIC, BY_STS, "MTA-STS does not name the host"), "4.7.4"),
        ("required", Security(VERIFIED, BY_STS, "MTA-STS", testing=True), "4.7.4"),
        ("verified", Security(VERIFIED, BY_STS, "MTA-STS", testing=True), "4.7.4"),
        ("verified", Security(OPPORTUNISTIC, BY_STS, "MTA-STS does not name the host"), "4.7.4"),
        ("verified", Security(REQUIRED, BY_DANE, "TLSA records, of which none can be acted upon"), "4.7.4"),
    ],
)
async def test_what_a_destination_says_of_itself_never_means_less_than_we_ask_for(
    place: Place, ours: str, theirs: Security, enhanced: str
) -> None:
    """Else whoever makes a policy, or forges one, takes back what `delivery.tls` demands of everybody."""
    async with Peer(tls=None) as peer, Sender(tls=ours) as sender:
        outcome = await send(sender, at(peer, theirs))
        assert isinstance(outcome, Deferred)
        assert outcome.reply.enhanced == enhanced
        assert peer.taken == []
    if ours == "verified":
        async with (
            Peer(extensions=STARTTLS, tls=server(place.by_kind["self-signed"])) as peer,
            Sender(tls=ours) as sender,
        ):
            outcome = await send(sender, at(peer, theirs))
            assert isinstance(outcome, Deferred)
            assert outcome.reply.enhanced == "4.7.5"
            assert peer.taken == []
    else:
        async with (
            Peer(extensions=STARTTLS, tls=server(place.by_kind["self-signed"])) as peer,
            Sender(tls=ours) as sender,
        ):
            outcome = await send(sender, at(peer, theirs))
            assert isinstance(outcome, Delivered)
            assert outcome.secured is not None
            assert (outcome.secured.level, outcome.secured.verified) == (REQUIRED, False)
