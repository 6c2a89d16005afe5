"""What is doubted about reports of others."""

from pathlib import Path

from postroad.config.load import inspect_config

TEXT = """
listeners.mx.bind = ["127.0.0.1:2525"]
access.relay_domains = ["example.com", "*.example.net"]
[tls_reports]
from = "tlsrpt@example.com"
received_at = ["a@example.com", "a@example.org"]
[dmarc_reports]
received_at = ["a@mail.example.net", "a@example.net"]
"""


def test_addresses_that_strangers_cannot_write_to_are_doubted(tmp_path: Path) -> None:
    file = tmp_path / "postroad.toml"
    file.write_text(TEXT)
    loaded = inspect_config(file)
    doubts = [line for line in loaded.lines(loaded.warnings) if "_reports." in line]
    assert len(doubts) == 3
    assert 'tls_reports.from: "tlsrpt@example.com": no key of [dkim] signs for its domain' in doubts[0]
    assert 'tls_reports.received_at[1]: "a@example.org": access.relay_domains does not have its domain' in doubts[1]
    assert 'dmarc_reports.received_at[1]: "a@example.net"' in doubts[2]


def test_reports_of_what_nobody_judges_are_doubted(tmp_path: Path) -> None:
    file = tmp_path / "postroad.toml"
    text = TEXT.replace("[dmarc_reports]", '[dmarc_reports]\nfrom = "dmarc@example.com"')
    file.write_text(text)
    loaded = inspect_config(file)
    doubt = 'dmarc_reports.from: no [[policies]] uses "dmarc", so there is nothing to report'
    assert any(doubt in line for line in loaded.lines(loaded.warnings))
    file.write_text(text + '\n[[policies]]\nuse = "dmarc"\n')
    loaded = inspect_config(file)
    assert not any("nothing to report" in line for line in loaded.lines(loaded.warnings))
