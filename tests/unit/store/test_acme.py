"""What is kept of certificates by ACME: whole files for their owner alone, and accounts that are never lost unseen."""

from pathlib import Path

import pytest

from postroad.model.acme import Account
from postroad.model.errors import SpoolError
from postroad.model.renewal import RenewalState
from postroad.store.acme import AcmeFolder


def test_what_is_kept_is_there(tmp_path: Path) -> None:
    folder = AcmeFolder(tmp_path / "acme")
    assert (folder.certificate(), folder.state(), folder.account("https://a/")) == (b"", RenewalState(), None)
    first, second = Account("key 1", "https://a/1", ("x@example.com",)), Account("key 2")
    folder.keep_account("https://a/", first)
    folder.keep_account("https://b/", second)
    folder.keep_state(RenewalState("plan", 3, 1, 2, "reason", 4, 5))
    folder.keep_certificate(b"pem")
    again = AcmeFolder(tmp_path / "acme")
    assert (again.account("https://a/"), again.account("https://b/")) == (first, second)
    assert again.state() == RenewalState("plan", 3, 1, 2, "reason", 4, 5)
    assert again.certificate() == b"pem"
    assert (tmp_path / "acme").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "acme").iterdir()} == {0o600}


def test_what_makes_no_sense(tmp_path: Path) -> None:
    folder = AcmeFolder(tmp_path)
    (tmp_path / "state.json").write_text("{")
    assert folder.state() == RenewalState()
    (tmp_path / "accounts.json").write_text("{")
    with pytest.raises(SpoolError, match="it makes no sense"):
        folder.account("https://a/")
    with pytest.raises(SpoolError, match="mend it, or move it away"):
        folder.keep_account("https://a/", Account("key"))
    (tmp_path / "certificate.pem").mkdir()
    with pytest.raises(SpoolError, match="cannot be read"):
        folder.certificate()
