"""What requests and answers of the API look like, as typed values: the same ones make the OpenAPI document. Pure.

Invariant: whatever octets come in, decoding gives one of these or a Fault; unknown keys are faults. Binary parts are
base64 (RFC 4648 4). Lists are bounded here, texts by the size of a request.
"""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct, field

Email = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1024,
        description="An address such as user@example.com, Unicode allowed.",
        extra_json_schema={"format": "idn-email"},
    ),
]
Emails = Annotated[list[Email], Meta(max_length=100_000)]


class Person(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An address with a name to show."""

    email: Email
    name: Annotated[str, Meta(max_length=500)] = ""


# Writing one into a header section takes a millisecond; an envelope can have more.
Persons = Annotated[list[Email | Person], Meta(max_length=1000)]
Line = Annotated[str, Meta(max_length=2000)]


class Attachment(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A file; with a `content_id` it is shown inside of the HTML text, which names it as cid:CONTENT_ID."""

    content: Annotated[bytes, Meta(description="The octets in base64.")]
    filename: Annotated[str, Meta(max_length=255)] = ""
    content_type: Annotated[str, Meta(max_length=255)] = "application/octet-stream"
    content_id: Annotated[str, Meta(max_length=255)] = ""


class Envelope(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The envelope: whom reports go to, who gets the message, and which reports are wanted."""

    sender: Annotated[
        Annotated[str, Meta(max_length=1024)] | None,
        Meta(description='The return address; "" for none. Default: that of "from".'),
    ] = field(name="from", default=None)
    to: Annotated[Emails | None, Meta(description='Who gets it. Default: "to", "cc" and "bcc".')] = None
    notify: Annotated[
        list[Literal["never", "success", "failure", "delay"]], Meta(max_length=4, description="As NOTIFY in SMTP.")
    ] = []
    ret: Annotated[Literal["", "full", "headers"], Meta(description="As RET in SMTP.")] = ""
    envid: Annotated[str, Meta(max_length=100, description="As ENVID in SMTP, printable ASCII.")] = ""


class Message(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One message: as parts, from a template, or whole in `raw` with an `envelope`."""

    sender: Annotated[Email | Person | None, Meta(description="The author.")] = field(name="from", default=None)
    to: Persons = []
    cc: Persons = []
    bcc: Annotated[Persons, Meta(description="Get it without being named in it.")] = []
    reply_to: Persons = []
    subject: Line | None = None
    text: Annotated[str | None, Meta(description="The text for readers without HTML.")] = None
    html: str | None = None
    headers: Annotated[dict[str, Line], Meta(max_length=100, description="Further header fields.")] = {}
    attachments: Annotated[list[Attachment], Meta(max_length=100)] = []
    template: Annotated[
        str, Meta(max_length=64, description="Name of a template, which gives subject, text and html.")
    ] = ""
    variables: Annotated[dict[str, Raw], Meta(max_length=1000, description="What the template is filled with.")] = {}
    envelope: Envelope | None = None
    raw: Annotated[bytes | None, Meta(description="A whole message of RFC 5322 in base64, in place of the parts.")] = (
        None
    )


class Batch(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Several messages; what one of them does not say is taken from `defaults`, variables one by one."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=10_000)]
    defaults: Message | None = None


class Fault(Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong: where, as a JSON pointer into the request, and what; `reply` is SMTP's words for it."""

    detail: str
    pointer: str = ""
    reply: str = ""


class Problem(Struct, frozen=True, omit_defaults=True):
    """Why a request, or one message of it, came to nothing (RFC 9457 3.1)."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: tuple[Fault, ...] = ()


class Taken(Struct, frozen=True):
    """A message is durable, and ours from here on."""

    id: str


class Result(Struct, frozen=True, omit_defaults=True):
    """What became of one message of a batch: it was taken as `id`, or there is a `problem`."""

    status: int
    id: str = ""
    problem: Problem | None = None


class Results(Struct, frozen=True):
    """One result for each message of a batch, in their order."""

    results: list[Result]


class RecipientState(Struct, frozen=True, omit_defaults=True):
    """Where one recipient stands; times in UTC."""

    address: str
    state: Literal["queued", "deferred", "held", "delivered", "failed", "dropped"]
    attempts: int = 0
    reason: Annotated[str, Meta(description="The last reply or fault.")] = ""
    next_try: Annotated[str, Meta(description="When it is tried again.")] = ""
    at: Annotated[str, Meta(description="When it became final.")] = ""


class MessageState(Struct, frozen=True):
    """What is known of a message; recipients that are final and of which nothing is known any more are left out."""

    id: str
    state: Literal["queued", "done"]
    accepted: str
    recipients: list[RecipientState]
