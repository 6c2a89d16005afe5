"""Names of Postfix's that an import knows (pure).

Parameters with a counterpart of ours, those that an import uses or that mean nothing here, restrictions that our
access rules keep anyway, and ports. Whatever is in none of these is listed as not carried over.
"""

from types import MappingProxyType
from typing import Final

SECTIONS: Final = MappingProxyType(
    {  # parameter: section, option, and how its value is written
        "message_size_limit": ("limits", "message_size", "octets"),
        "header_size_limit": ("limits", "header_size", "octets"),
        "smtpd_recipient_limit": ("limits", "recipients_per_message", "number"),
        "smtpd_client_connection_count_limit": ("limits", "sessions_per_ip", "number"),
        "hopcount_limit": ("limits", "hops", "number"),
        "smtpd_hard_error_limit": ("limits", "errors_per_session", "number"),
        "maximal_queue_lifetime": ("queue", "expire_after", "days"),
        "delay_warning_time": ("queue", "warn_after", "hours"),
        "bounce_size_limit": ("queue", "return_size", "octets"),
        "smtp_connect_timeout": ("delivery", "connect_timeout", "seconds"),
    }
)
TLS: Final = MappingProxyType({"none": "off", "may": "opportunistic", "dane": "opportunistic", "encrypt": "required"})
UNITS: Final = MappingProxyType({"seconds": "s", "hours": "h", "days": "d"})
USED: Final = frozenset(
    (
        "myhostname",
        "mydomain",
        "myorigin",
        "mydestination",
        "mynetworks",
        "relay_domains",
        "relayhost",
        "transport_maps",
        "virtual_alias_maps",
        "virtual_alias_domains",
        "virtual_mailbox_domains",
        "virtual_transport",
        "mailbox_transport",
        "local_transport",
        "relay_transport",
        "default_transport",
        "sender_dependent_relayhost_maps",
        "inet_interfaces",
        "inet_protocols",
        "recipient_delimiter",
        "smtp_tls_security_level",
        "queue_directory",
        "virtual_maps",
    )
)
MEANINGLESS: Final = frozenset(
    (
        "compatibility_level",
        "biff",
        "append_dot_mydomain",
        "readme_directory",
        "html_directory",
        "manpage_directory",
        "sample_directory",
        "mail_owner",
        "setgid_group",
        "command_directory",
        "daemon_directory",
        "data_directory",
        "sendmail_path",
        "newaliases_path",
        "mailq_path",
        "mail_name",
        "debug_peer_level",
        "debugger_command",
        "unknown_local_recipient_reject_code",
        "mynetworks_style",
        "meta_directory",
        "shlib_directory",
        "multi_instance_enable",
        "smtpd_helo_required",
        "disable_vrfy_command",
        "smtputf",
        "_enable",
        "smtp_use_tls",
        "mailbox_size_limit",
        "virtual_mailbox_limit",
        "strict_rfc",
        "_envelopes",
        "smtp_tls_session_cache_database",
        "smtpd_tls_session_cache_database",
        "smtp_tls_loglevel",
        "smtpd_tls_loglevel",
        "alias_database",
        "smtp_tls_CApath",
        "smtpd_delay_reject",
        "default_process_limit",
    )
)
PLAIN_RESTRICTIONS: Final = frozenset(
    (
        "permit_mynetworks",
        "reject_unauth_destination",
        "defer_unauth_destination",
        "permit",
        "reject",
        "permit_auth_destination",
        "reject_non_fqdn_recipient",
        "reject_unlisted_recipient",
        "permit_sasl_authenticated",
    )
)
POSTSCREEN: Final = frozenset(("postscreen_dnsbl_sites", "postscreen_dnsbl_threshold", "postscreen_greet_wait"))
PORTS: Final = MappingProxyType({"smtp": "25", "submission": "587", "smtps": "465", "submissions": "465"})
