"""Every reply the server ever gives, named once: the only place with SMTP reply texts.

What the peer reads is bland and catalogued; the exact reason is in the log. All carry an enhanced
code but the banner, the answer to EHLO/HELO and 354 (RFC 2034 4). Codes: RFC 5321 4.2.3; enhanced
codes: RFC 3463 3, RFC 5248 2.4. `CATALOGUE` feeds the reference page docs/reference/replies.md.
"""

from types import MappingProxyType
from typing import Final, NamedTuple

from postroad.model.address import Mailbox
from postroad.model.reply import Reply

OK: Final = Reply(250, "2.0.0", "Ok")
SENDER_OK: Final = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "Ok")
GOODBYE: Final = Reply(221, "2.0.0", "Bye")
HELP: Final = Reply(214, "2.0.0", "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\nSee RFC 5321")
CANNOT_VERIFY: Final = Reply(252, "2.1.5", "Cannot verify the user, but will take mail and try to deliver it")
AUTH_DONE: Final = Reply(235, "2.7.0", "Authentication successful")
START_MAIL: Final = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
READY_FOR_TLS: Final = Reply(220, "2.0.0", "Ready to start TLS")

SHUTTING_DOWN: Final = Reply(421, "4.3.2", "Service shutting down, try again later")
TOO_BUSY: Final = Reply(421, "4.3.2", "Too many connections, try again later")
TOO_MANY_FROM_YOU: Final = Reply(421, "4.7.0", "Too many connections from your address, try again later")
TOO_MANY_FROM_NETWORK: Final = Reply(421, "4.7.0", "Too many connections from your network, try again later")
BANNED_FOR_NOW: Final = Reply(421, "4.7.0", "Too many offences from your network, try again later")
SILENCE: Final = Reply(421, "4.7.0", "(closed without a word)")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "Too many errors, closing connection")
TOO_MANY_MESSAGES: Final = Reply(421, "4.7.0", "Too many messages in one session, connect again")
TIMED_OUT: Final = Reply(421, "4.4.2", "Timeout, closing connection")
STORAGE_FULL: Final = Reply(452, "4.3.1", "Insufficient system storage, try again later")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients, send the rest in another transaction")
RATE_OF_RECIPIENTS: Final = Reply(450, "4.7.1", "Too much mail in a short time, try again later")
RATE_OF_MAIL: Final = Reply(451, "4.7.1", "Too much mail in a short time, try again later")
RATE_OF_CONNECTIONS: Final = Reply(421, "4.7.0", "Too many connections in a short time, try again later")
RATE_OF_ERRORS: Final = Reply(421, "4.7.0", "Too many errors lately, try again later")
STORAGE_ERROR: Final = Reply(451, "4.3.0", "Local error in processing, try again later")
ALIASES_UNAVAILABLE: Final = Reply(451, "4.3.0", "Recipients cannot be looked up now, try again later")
ALIAS_ERROR: Final = Reply(451, "4.3.5", "Error in the aliases of a recipient, try again later")
TLS_UNAVAILABLE: Final = Reply(454, "4.7.0", "TLS not available now, try again later")
POLICY_ERROR: Final = Reply(451, "4.3.0", "Policy check failed, try again later")

BANNED: Final = Reply(554, "5.7.1", "Too many offences from your network")
ACCOUNT_LOCKED: Final = Reply(550, "5.7.1", "Account is locked, ask your administrator")
RULE_REJECTED: Final = Reply(550, "5.7.1", "Refused by policy")
RULE_DEFERRED: Final = Reply(450, "4.7.1", "Not now, try again later")
NOT_SENT_BY_US: Final = Reply(550, "5.7.1", "This address did not send what the report is about")
DEVICE_RECIPIENT: Final = Reply(550, "5.7.1", "Recipient address rejected: not allowed for this client")
GREYLISTED: Final = Reply(451, "4.7.1", "Greylisted, try again later")
DNS_UNAVAILABLE: Final = Reply(451, "4.4.3", "DNS does not answer, try again later")
BAD_HELO: Final = Reply(550, "5.7.1", "EHLO name rejected")
BAD_HELO_FOR_NOW: Final = Reply(450, "4.7.1", "EHLO name rejected, try again later")
BAD_REVERSE_DNS: Final = Reply(550, "5.7.25", "Your address has no valid reverse DNS name")
BAD_REVERSE_DNS_FOR_NOW: Final = Reply(450, "4.7.25", "Your address has no valid reverse DNS name, try again later")
BAD_SENDER_DOMAIN: Final = Reply(550, "5.1.8", "Sender domain cannot be reached by mail")
BAD_SENDER_DOMAIN_FOR_NOW: Final = Reply(450, "4.1.8", "Sender domain cannot be reached by mail, try again later")
SENDER_TAKES_NO_MAIL: Final = Reply(550, "5.7.27", "Sender domain takes no mail")
SENDER_TAKES_NO_MAIL_FOR_NOW: Final = Reply(450, "4.7.27", "Sender domain takes no mail, try again later")
SPF_FAILED: Final = Reply(550, "5.7.23", "SPF validation failed")
SPF_FAILED_FOR_NOW: Final = Reply(451, "4.7.23", "SPF validation failed, try again later")
SPF_BROKEN: Final = Reply(550, "5.7.24", "SPF validation error")
SPF_UNAVAILABLE: Final = Reply(451, "4.7.24", "SPF validation error, try again later")
DKIM_FAILED: Final = Reply(550, "5.7.20", "No passing DKIM signature found")
DKIM_FAILED_FOR_NOW: Final = Reply(450, "4.7.20", "No passing DKIM signature found, try again later")
DMARC_FAILED: Final = Reply(550, "5.7.1", "Refused by the DMARC policy of the author's domain")
NO_AUTHOR: Final = Reply(550, "5.6.0", "Message needs one From header field, with authors that can be checked")
DMARC_UNKNOWN_FOR_NOW: Final = Reply(451, "4.7.1", "Author's domain cannot be checked for now, try again later")
PASSWORD_EXPIRED: Final = Reply(432, "4.7.12", "A password transition is needed")
AUTH_UNAVAILABLE: Final = Reply(454, "4.7.0", "Temporary authentication failure, try again later")
AUTH_LINE_TOO_LONG: Final = Reply(500, "5.5.6", "Authentication exchange line is too long")
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "Authentication cancelled")
AUTH_NOT_BASE64: Final = Reply(501, "5.5.2", "Authentication response is not valid base64")
AUTH_MALFORMED: Final = Reply(501, "5.5.2", "Authentication response does not fit its mechanism")
AUTH_TWICE: Final = Reply(503, "5.5.1", "Already authenticated")
AUTH_IN_TRANSACTION: Final = Reply(503, "5.5.1", "AUTH is not permitted during a mail transaction")
MECHANISM_UNKNOWN: Final = Reply(504, "5.5.4", "Authentication mechanism is not offered")
AUTH_REQUIRED: Final = Reply(530, "5.7.0", "Authentication required")
MECHANISM_WEAK: Final = Reply(534, "5.7.9", "Authentication mechanism is too weak")
ENCRYPTION_REQUIRED: Final = Reply(538, "5.7.11", "Encryption required for requested authentication mechanism")
BAD_CREDENTIALS: Final = Reply(535, "5.7.8", "Authentication credentials invalid")
SENDER_NOT_ALLOWED: Final = Reply(553, "5.7.1", "Sender address rejected: not yours to use")
UNKNOWN_COMMAND: Final = Reply(500, "5.5.2", "Command not recognized")
LINE_TOO_LONG: Final = Reply(500, "5.5.2", "Line too long")
BARE_NEWLINE: Final = Reply(500, "5.5.2", "Command lines must end in <CR><LF> and hold no control characters")
SYNTAX: Final = Reply(501, "5.5.4", "Syntax error in parameters")
BAD_SENDER: Final = Reply(501, "5.1.7", "Bad sender address syntax")
BAD_RECIPIENT: Final = Reply(501, "5.1.3", "Bad recipient address syntax")
NEEDS_SMTPUTF8_SENDER: Final = Reply(550, "5.6.7", "Internationalized sender address needs SMTPUTF8")
NEEDS_SMTPUTF8_RECIPIENT: Final = Reply(553, "5.6.7", "Internationalized recipient address needs SMTPUTF8")
NOT_IMPLEMENTED: Final = Reply(502, "5.5.1", "Command not implemented")
HELLO_FIRST: Final = Reply(503, "5.5.1", "Send EHLO or HELO first")
MAIL_FIRST: Final = Reply(503, "5.5.1", "Need MAIL command first")
RECIPIENT_FIRST: Final = Reply(503, "5.5.1", "Need RCPT command first")
NESTED_XCLIENT: Final = Reply(503, "5.5.1", "XCLIENT inside a transaction")
NESTED_MAIL: Final = Reply(503, "5.5.1", "Nested MAIL command")
BDAT_ONLY: Final = Reply(503, "5.5.1", "Binary content or chunks must be sent with BDAT")
BDAT_FAILED: Final = Reply(503, "5.5.1", "Earlier chunk was refused, send RSET")
NEEDS_TLS: Final = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
IN_TRANSACTION: Final = Reply(503, "5.5.1", "Not allowed in a mail transaction")
TLS_ACTIVE: Final = Reply(503, "5.5.1", "TLS is active already")
EARLY_OCTETS: Final = Reply(554, "5.5.1", "Protocol error: octets behind STARTTLS")
NO_VALID_RECIPIENTS: Final = Reply(554, "5.5.1", "No valid recipients")
UNKNOWN_PARAMETER: Final = Reply(555, "5.5.4", "Parameter not recognized or not implemented")
MESSAGE_TOO_BIG: Final = Reply(552, "5.3.4", "Message size exceeds fixed limit")
HEADERS_TOO_BIG: Final = Reply(552, "5.3.4", "Header section size exceeds fixed limit")
BARE_NEWLINE_IN_CONTENT: Final = Reply(
    554, "5.6.0", "Content has bare <CR>, bare <LF> or NUL; lines must end in <CR><LF>"
)
LOOP: Final = Reply(554, "5.4.6", "Too many hops, mail loop")
TALKED_FIRST: Final = Reply(554, "5.5.1", "Protocol error: talking before the greeting")
NOT_SMTP: Final = Reply(554, "5.5.1", "This is an SMTP server")


def banner(hostname: str) -> Reply:
    """The greeting (RFC 5321 4.3.1)."""
    return Reply(220, "", f"{hostname} ESMTP Postroad")


def hello(hostname: str, extensions: tuple[str, ...]) -> Reply:
    """The answer to EHLO with our `extensions`, or to HELO with none (RFC 5321 4.1.1.1)."""
    return Reply(250, "", "\n".join((hostname, *extensions)))


def queued(queue_id: str) -> Reply:
    """The message is durable and ours from here on (RFC 5321 4.2.5)."""
    return Reply(250, "2.0.0", f"Ok: queued as {queue_id}")


def chunk_taken(octets: int) -> Reply:
    """A chunk that is not the last was received (RFC 3030 2)."""
    return Reply(250, "2.0.0", f"Ok: {octets} octets received")


def relay_access_denied(recipient: Mailbox) -> Reply:
    """The peer may not send to this recipient through us."""
    return Reply(554, "5.7.1", f"<{recipient}>: Relay access denied")


def unknown_recipient(recipient: Mailbox) -> Reply:
    """There is no such name in a domain whose names are all known."""
    return Reply(550, "5.1.1", f"<{recipient}>: No such recipient")


def listed(subject: str, by: str, text: str) -> Reply:
    """Block lists have `subject`; `text` is where to ask about that."""
    return Reply(554, "5.7.1", f"Service unavailable; [{subject}] is listed by {by}{text and '; '}{text}")


def listed_for_now(subject: str, by: str, text: str) -> Reply:
    """The same, for who may come back."""
    return Reply(450, "4.7.1", f"Service unavailable; [{subject}] is listed by {by}{text and '; '}{text}")


def challenge(text: str) -> Reply:
    """A challenge of SASL, in base64 (RFC 4954 4)."""
    return Reply(334, "", text)


class Entry(NamedTuple):
    """One catalogued reply: its name here, a sample, and what it means to the peer and to the operator."""

    name: str
    reply: Reply
    meaning: str


CATALOGUE: Final = (
    Entry("banner", banner("relay.example.com"), "The greeting of a new connection."),
    Entry("hello", hello("relay.example.com", ("PIPELINING", "SIZE 52428800")), "Answer to EHLO and HELO."),
    Entry("OK", OK, "RSET or NOOP was done."),
    Entry("SENDER_OK", SENDER_OK, "The reverse-path was taken."),
    Entry("RECIPIENT_OK", RECIPIENT_OK, "The recipient was taken."),
    Entry("queued", queued("3Pt2mN2VXxznj"), "The message is durable in the spool under this queue id."),
    Entry("chunk_taken", chunk_taken(4096), "A chunk of BDAT that is not the last was received."),
    Entry("GOODBYE", GOODBYE, "Answer to QUIT."),
    Entry("HELP", HELP, "Answer to HELP."),
    Entry("CANNOT_VERIFY", CANNOT_VERIFY, "Answer to VRFY: addresses are never confirmed."),
    Entry("challenge", challenge("VXNlcm5hbWU6"), "A challenge of the mechanism; the client answers in base64."),
    Entry("AUTH_DONE", AUTH_DONE, "The client has proved its login."),
    Entry("START_MAIL", START_MAIL, "Answer to DATA: send the content."),
    Entry("READY_FOR_TLS", READY_FOR_TLS, "Answer to STARTTLS: the handshake comes next."),
    Entry("SHUTTING_DOWN", SHUTTING_DOWN, "The server drains; the client should try again later."),
    Entry("TOO_BUSY", TOO_BUSY, "`limits.sessions` is reached."),
    Entry("TOO_MANY_FROM_YOU", TOO_MANY_FROM_YOU, "`limits.sessions_per_ip` is reached."),
    Entry("TOO_MANY_FROM_NETWORK", TOO_MANY_FROM_NETWORK, "`limits.sessions_per_network` is reached."),
    Entry("BANNED_FOR_NOW", BANNED_FOR_NOW, "The client is banned and `bans.answer` is defer."),
    Entry("SILENCE", SILENCE, "The client is banned and `bans.answer` is silence: this stands in the log alone."),
    Entry("TOO_MANY_ERRORS", TOO_MANY_ERRORS, "`limits.errors_per_session` is reached."),
    Entry("TOO_MANY_MESSAGES", TOO_MANY_MESSAGES, "`limits.messages_per_session` is reached."),
    Entry("TIMED_OUT", TIMED_OUT, "A time-out of `[limits]` ran out."),
    Entry(
        "STORAGE_FULL", STORAGE_FULL, "The disk is full or under `spool.free_space`; given before any content is sent."
    ),
    Entry(
        "TOO_MANY_RECIPIENTS",
        TOO_MANY_RECIPIENTS,
        "`limits.recipients_per_message` is reached; the client sends the rest again.",
    ),
    Entry("RATE_OF_RECIPIENTS", RATE_OF_RECIPIENTS, "A limit of `[[rates]]` leaves no room for this recipient now."),
    Entry("RATE_OF_MAIL", RATE_OF_MAIL, "A limit of `[[rates]]` leaves no room for this message now."),
    Entry("RATE_OF_CONNECTIONS", RATE_OF_CONNECTIONS, "A limit of `[[rates]]` on connections is reached."),
    Entry("RATE_OF_ERRORS", RATE_OF_ERRORS, "A limit of `[[rates]]` on errors is reached."),
    Entry("STORAGE_ERROR", STORAGE_ERROR, "Writing to the spool failed; nothing was accepted."),
    Entry(
        "ALIASES_UNAVAILABLE",
        ALIASES_UNAVAILABLE,
        "A database of `[[aliases]]`, or whom `[[recipients]]` asks, did not answer.",
    ),
    Entry("ALIAS_ERROR", ALIAS_ERROR, "The aliases of a recipient form a loop, lead too far, or to no address."),
    Entry("TLS_UNAVAILABLE", TLS_UNAVAILABLE, "STARTTLS came while `tls.handshakes` are running."),
    Entry("POLICY_ERROR", POLICY_ERROR, "A policy failed or ran out of time."),
    Entry("BANNED", BANNED, "The client is banned and `bans.answer` is reject."),
    Entry("ACCOUNT_LOCKED", ACCOUNT_LOCKED, "An operator has locked the login that sends."),
    Entry("RULE_REJECTED", RULE_REJECTED, "A rule rejects it; the text is the rule's own where it has one."),
    Entry("NOT_SENT_BY_US", NOT_SENT_BY_US, "A report to a sender whose mail leaves with a tag, without one."),
    Entry("DEVICE_RECIPIENT", DEVICE_RECIPIENT, "A device of `[devices]` wrote to whom it may not write."),
    Entry("RULE_DEFERRED", RULE_DEFERRED, "A rule defers it; the text is the rule's own where it has one."),
    Entry("GREYLISTED", GREYLISTED, "`greylist`: a client that is not known yet is asked to come back."),
    Entry("DNS_UNAVAILABLE", DNS_UNAVAILABLE, 'A policy with `on_fault = "defer"` got no answer from DNS.'),
    Entry("BAD_HELO", BAD_HELO, "`helo`: the name that the client gave itself was refused."),
    Entry("BAD_HELO_FOR_NOW", BAD_HELO_FOR_NOW, "`helo`: the same, deferred."),
    Entry("BAD_REVERSE_DNS", BAD_REVERSE_DNS, "`ptr`: the names of the client's address were refused (RFC 7372 3.3)."),
    Entry("BAD_REVERSE_DNS_FOR_NOW", BAD_REVERSE_DNS_FOR_NOW, "`ptr`: the same, deferred."),
    Entry("BAD_SENDER_DOMAIN", BAD_SENDER_DOMAIN, "`sender_domain`: no mail could be sent back to the sender."),
    Entry("BAD_SENDER_DOMAIN_FOR_NOW", BAD_SENDER_DOMAIN_FOR_NOW, "`sender_domain`: the same, deferred."),
    Entry("SENDER_TAKES_NO_MAIL", SENDER_TAKES_NO_MAIL, "`sender_domain`: it has a null MX (RFC 7505 4.2)."),
    Entry("SENDER_TAKES_NO_MAIL_FOR_NOW", SENDER_TAKES_NO_MAIL_FOR_NOW, "`sender_domain`: the same, deferred."),
    Entry("SPF_FAILED", SPF_FAILED, "`spf`: the sender's domain does not allow the client (RFC 7372 3.2)."),
    Entry("SPF_FAILED_FOR_NOW", SPF_FAILED_FOR_NOW, "`spf`: the same, deferred."),
    Entry("SPF_BROKEN", SPF_BROKEN, "`spf`: the record of the sender's domain cannot be read (RFC 7372 3.2)."),
    Entry("SPF_UNAVAILABLE", SPF_UNAVAILABLE, "`spf`: DNS does not answer, or the record cannot be read; deferred."),
    Entry("DKIM_FAILED", DKIM_FAILED, "`dkim`: the message is signed, and no signature holds (RFC 7372 3.1)."),
    Entry(
        "DKIM_FAILED_FOR_NOW", DKIM_FAILED_FOR_NOW, "`dkim`: the same, deferred; or DNS could not be asked for keys."
    ),
    Entry("DMARC_FAILED", DMARC_FAILED, "`dmarc`: nothing proves the author's domain, which asks to refuse such mail."),
    Entry("NO_AUTHOR", NO_AUTHOR, "`dmarc`: no From field, or more of them or of authors than are looked at."),
    Entry("DMARC_UNKNOWN_FOR_NOW", DMARC_UNKNOWN_FOR_NOW, '`dmarc`: DNS did not answer, with `on_fault` "defer".'),
    Entry(
        "listed",
        listed("192.0.2.1", "zen.example.org", "see https://zen.example.org/192.0.2.1"),
        "`dnsbl`: block lists weigh as much as its `reject`.",
    ),
    Entry("listed_for_now", listed_for_now("192.0.2.1", "zen.example.org", ""), "`dnsbl`: as much as its `defer`."),
    Entry("PASSWORD_EXPIRED", PASSWORD_EXPIRED, "The password is right and has expired."),
    Entry("AUTH_UNAVAILABLE", AUTH_UNAVAILABLE, "An identity source is down, or too many log in at one time."),
    Entry("AUTH_LINE_TOO_LONG", AUTH_LINE_TOO_LONG, "A line of AUTH is longer than 12288 octets."),
    Entry("AUTH_CANCELLED", AUTH_CANCELLED, "The client cancelled by a lone asterisk."),
    Entry("AUTH_NOT_BASE64", AUTH_NOT_BASE64, "The client's response cannot be decoded."),
    Entry("AUTH_MALFORMED", AUTH_MALFORMED, "The client's response is not of its mechanism's form."),
    Entry("AUTH_TWICE", AUTH_TWICE, "AUTH came again after it had succeeded."),
    Entry("AUTH_IN_TRANSACTION", AUTH_IN_TRANSACTION, "AUTH came between MAIL and the end of the content."),
    Entry("MECHANISM_UNKNOWN", MECHANISM_UNKNOWN, "The mechanism does not exist, or cannot be used now."),
    Entry("AUTH_REQUIRED", AUTH_REQUIRED, 'The listener has auth = "required", and the client has not logged in.'),
    Entry("MECHANISM_WEAK", MECHANISM_WEAK, "The password is right, but this user may not send it."),
    Entry("ENCRYPTION_REQUIRED", ENCRYPTION_REQUIRED, "The mechanism sends a secret, and the client has no TLS."),
    Entry(
        "BAD_CREDENTIALS",
        BAD_CREDENTIALS,
        "The log-in is wrong, the log says why; or the HTTP API was called without a valid key (it answers 401).",
    ),
    Entry("SENDER_NOT_ALLOWED", SENDER_NOT_ALLOWED, "A key of the HTTP API may not send as this address."),
    Entry("UNKNOWN_COMMAND", UNKNOWN_COMMAND, "No such command."),
    Entry("LINE_TOO_LONG", LINE_TOO_LONG, "A command line is longer than `limits.command_line`."),
    Entry("BARE_NEWLINE", BARE_NEWLINE, "A command line ends in a bare LF, or holds CR or NUL."),
    Entry("SYNTAX", SYNTAX, "The command's arguments are not of its form."),
    Entry("BAD_SENDER", BAD_SENDER, "The reverse-path is not an address."),
    Entry("BAD_RECIPIENT", BAD_RECIPIENT, "The forward-path is not an address."),
    Entry("NEEDS_SMTPUTF8_SENDER", NEEDS_SMTPUTF8_SENDER, "The reverse-path has octets above 127 without SMTPUTF8."),
    Entry(
        "NEEDS_SMTPUTF8_RECIPIENT", NEEDS_SMTPUTF8_RECIPIENT, "The forward-path has octets above 127 without SMTPUTF8."
    ),
    Entry("NOT_IMPLEMENTED", NOT_IMPLEMENTED, "A command of the standard that is not offered here."),
    Entry("HELLO_FIRST", HELLO_FIRST, "MAIL came before EHLO or HELO."),
    Entry("MAIL_FIRST", MAIL_FIRST, "RCPT, DATA or BDAT came without a transaction."),
    Entry("RECIPIENT_FIRST", RECIPIENT_FIRST, "DATA or BDAT came before any RCPT."),
    Entry("NESTED_XCLIENT", NESTED_XCLIENT, "XCLIENT came inside a transaction."),
    Entry("NESTED_MAIL", NESTED_MAIL, "MAIL came inside a transaction."),
    Entry("BDAT_ONLY", BDAT_ONLY, "DATA came after BODY=BINARYMIME or after a chunk."),
    Entry("BDAT_FAILED", BDAT_FAILED, "A chunk came after one that was refused."),
    Entry("NEEDS_TLS", NEEDS_TLS, 'The listener has tls = "required", and TLS has not been started.'),
    Entry("IN_TRANSACTION", IN_TRANSACTION, "STARTTLS came between MAIL and the end of its message."),
    Entry("TLS_ACTIVE", TLS_ACTIVE, "STARTTLS came under TLS."),
    Entry(
        "EARLY_OCTETS",
        EARLY_OCTETS,
        "More came in plain text behind STARTTLS: an injection, or a fault. Nothing of it is obeyed.",
    ),
    Entry("NO_VALID_RECIPIENTS", NO_VALID_RECIPIENTS, "DATA or BDAT came although every RCPT was refused."),
    Entry("UNKNOWN_PARAMETER", UNKNOWN_PARAMETER, "MAIL or RCPT had a parameter that is not offered."),
    Entry("MESSAGE_TOO_BIG", MESSAGE_TOO_BIG, "The message is larger than `limits.message_size`."),
    Entry("HEADERS_TOO_BIG", HEADERS_TOO_BIG, "The header section is larger than `limits.header_size`."),
    Entry(
        "BARE_NEWLINE_IN_CONTENT", BARE_NEWLINE_IN_CONTENT, 'Refused unless the listener has newlines = "normalise".'
    ),
    Entry("LOOP", LOOP, "More Received fields than `limits.hops`."),
    Entry("TALKED_FIRST", TALKED_FIRST, "The client sent before the banner of a listener with greeting_delay."),
    Entry("NOT_SMTP", NOT_SMTP, "The client speaks HTTP."),
    Entry(
        "relay_access_denied",
        relay_access_denied(Mailbox("user@example.net")),
        "Neither the client's network nor the domain is in `[access]`.",
    ),
    Entry(
        "unknown_recipient",
        unknown_recipient(Mailbox("user@example.com")),
        "Nobody has this name of a domain that `[[recipients]]`, or `[[aliases]]` with `strict = true`, are for.",
    ),
)

_ENCODED: Final = MappingProxyType({entry.reply: entry.reply.encode() for entry in CATALOGUE})


def encode(reply: Reply) -> bytes:
    """`reply` as sent; the catalogued ones were encoded once."""
    return _ENCODED.get(reply) or reply.encode()
