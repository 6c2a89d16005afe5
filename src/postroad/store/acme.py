"""What is kept of certificates by ACME, in a folder of its own: accounts, the certificate with its key, what was tried.

Each file is written whole and replaced in one step; only its owner can read it. The certificate and its key are one
file, so that they are never of two minds. SpoolError in words when the disk refuses.
"""

from pathlib import Path
from typing import Final

import msgspec

from postroad.model.acme import Account
from postroad.model.errors import SpoolError
from postroad.model.renewal import RenewalState
from postroad.store.kept import load, save

CERTIFICATE: Final = "certificate.pem"
_ACCOUNTS: Final = "accounts.json"
_STATE: Final = "state.json"


class AcmeFolder:
    """The folder at `path`; made when something is kept."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet."""
        self.path = path

    def certificate(self) -> bytes:
        """Key and chain in PEM, nothing when there are none; SpoolError when they cannot be read."""
        return load(self.path / CERTIFICATE)

    def keep_certificate(self, pem: bytes) -> None:
        """Replace it."""
        self._keep(CERTIFICATE, pem)

    def state(self) -> RenewalState:
        """What was tried; nothing when it cannot be read: then it is found out anew."""
        try:
            return msgspec.json.decode((self.path / _STATE).read_bytes(), type=RenewalState)
        except (OSError, msgspec.MsgspecError):
            return RenewalState()

    def keep_state(self, state: RenewalState) -> None:
        """Replace it."""
        self._keep(_STATE, msgspec.json.encode(state))

    def account(self, directory: str) -> Account | None:
        """Our account with the CA of that directory; SpoolError when there may be one that cannot be read."""
        return self._accounts().get(directory)

    def keep_account(self, directory: str, account: Account) -> None:
        """Keep it beside those with other CAs."""
        self._keep(_ACCOUNTS, msgspec.json.encode({**self._accounts(), directory: account}))

    def _accounts(self) -> dict[str, Account]:
        path = self.path / _ACCOUNTS
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, Account])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            words = getattr(error, "strerror", None) or "it makes no sense"
            raise SpoolError(f"the accounts in {path} cannot be read: {words}; mend it, or move it away") from None

    def _keep(self, name: str, octets: bytes) -> None:
        path = self.path / name
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SpoolError(f"{path} cannot be written: {error.strerror}") from error
        save(path, octets)
