"""Records of reports between relays: daily ones of ours that left or did not, and those of others that came by HTTPS.

What comes by mail is told as mail is (`MessageDiscarded`). Everybody imports them from `records`.
"""

from postroad.model.record import Record


class ReportSent(Record, frozen=True, tag="ReportSent"):
    """Our report of one `day` (UTC) about `domain` left for `uri`: it is in our queue, or a web server has it.

    `kind` is "tls" or "dmarc".
    """

    kind: str
    domain: str
    day: str
    uri: str


class ReportNotSent(Record, frozen=True, tag="ReportNotSent"):
    """Our report of one `day` about `domain` could not be sent to `uri`, and why; it is tried again unless `is_over`.

    `uri` is empty when it is not known who wants the report.
    """

    kind: str
    domain: str
    day: str
    uri: str
    reason: str
    is_over: bool = False


class ReportTaken(Record, frozen=True, tag="ReportTaken"):
    """A report of others about our `domains` came by HTTPS and is kept; `submitter` is who says that it is theirs."""

    kind: str
    submitter: str
    id: str
    domains: str
