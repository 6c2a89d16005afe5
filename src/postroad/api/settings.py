"""Options of the HTTP API (`[api]`) and of its keys (`[api.keys.NAME]`).

The API is there only when the configuration has the section, and nobody can use it without a key.
"""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from postroad.model.option import Duration, Endpoint, File, SecretText, Settings, Size, named
from postroad.routing.settings import SenderPattern

key_name: Final = named("the name of a key")

KeyName = Annotated[str, AfterValidator(key_name)]
Listener = Annotated[str, AfterValidator(named("a listener's name"))]


class KeySettings(Settings):
    """One key, and what its owner may do with it."""

    key: SecretText = Field(
        description='The key itself, of 32 characters or more, or "sha256:" and its digest; `postroad key` makes both.'
    )
    senders: tuple[SenderPattern, ...] = Field(
        description='Who it may send as, in the envelope and in From: addresses, domains, "*.domain", "*"; "<>" for '
        "mail without a return address.",
        min_length=1,
    )
    relay: bool = Field(True, description="May send to any domain; else to those of `access.relay_domains` alone.")
    inject: bool = Field(True, description="May hand in mail.")
    read: bool = Field(True, description="May ask what became of the mail that was handed in with it.")
    listener: Listener = Field("api", description="The listener that its mail counts as, for routes and in records.")
    requests: int = Field(8, description="Requests at one time; those above get 429.", ge=1, le=1000)
    request_size: Size = Field(
        "32MiB", description="Octets of one request; `api.request_size` bounds it too.", ge=1024, le=1 << 30
    )


class ApiSettings(Settings):
    """Mail over HTTP."""

    bind: tuple[Endpoint, ...] = Field(
        ("127.0.0.1:8026",),
        description='Where to listen: "address:port" or "[v6]:port"; without encryption.',
        min_length=1,
    )
    keys: dict[KeyName, KeySettings] = Field(
        {}, description="Who may use it, by name.", json_schema_extra={"default": "none: nobody can use it"}
    )
    connections: int = Field(100, description="Connections at one time; those above get 503.", ge=1, le=10_000)
    requests: int = Field(32, description="Requests at one time, of all keys; those above get 503.", ge=1, le=1000)
    request_size: Size = Field("32MiB", description="Octets of one request.", ge=1024, le=1 << 30)
    memory: Size = Field(
        "128MiB",
        description="Octets of all requests at one time; more get 503. Making mail of them takes thrice that.",
        ge=1024,
        le=1 << 40,
    )
    request_timeout: Duration = Field("60s", description="Time for one request to arrive.", ge=1, le=3600)
    batch: int = Field(500, description="Messages in one request.", ge=1, le=10_000)
    templates: File = Field(
        Path(),
        description="Folder of templates; relative to the configuration file's folder.",
        json_schema_extra={"default": "no templates"},
    )
    idempotency: Duration = Field("24h", description="How long an Idempotency-Key is remembered.", ge=60, le=30 * 86400)
    history: Duration = Field(
        "7d", description="How long it can be asked what became of a message.", ge=3600, le=366 * 86400
    )

    @property
    def template_folder(self) -> Path | None:
        """The folder of templates, None without one."""
        return None if self.templates == Path() else self.templates

    def anchored(self, folder: Path) -> "ApiSettings":
        """The same, with relative files taken from `folder`."""
        if self.templates == Path():
            return self
        return self.model_copy(update={"templates": (folder / self.templates.expanduser()).absolute()})
