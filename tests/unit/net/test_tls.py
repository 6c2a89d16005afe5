"""The opportunistic context takes whatever the peer has, but nothing older than TLS 1.2."""

import ssl

from postroad.net.tls.contexts import opportunistic_context


def test_takes_any_certificate_and_nothing_old() -> None:
    context = opportunistic_context()
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
