"""From a Postfix to a configuration of ours, and a list of what could not be carried over.

Every parameter that is given is either used, known to mean nothing here, or listed. What our own check objects to is
left out and listed too, so that what is written always passes `postroad check`.
"""

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

from msgspec import Struct

from postroad.aliases.patterns import parse_patterns
from postroad.config.postfix.checks import checks_of
from postroad.config.postfix.files import TEXT_MAPS, Postfix, Service, read_text
from postroad.config.postfix.names import MEANINGLESS, PLAIN_RESTRICTIONS, PORTS, POSTSCREEN, SECTIONS, TLS, UNITS, USED
from postroad.config.postfix.transport import Target, relay_hops, target_of

Data = dict[str, dict[str, object]]


class Imported(Struct, frozen=True):
    """Sections with their options, routes in order, tables of aliases, policies, and what was left behind."""

    top: dict[str, object]
    sections: Data
    routes: list[dict[str, object]]
    aliases: list[dict[str, object]]
    policies: list[dict[str, object]]
    left: list[str]


def translate(postfix: Postfix) -> Imported:
    """What Postfix's files say, in our words."""
    return _Import(postfix).run()


class _Import:
    """One import under way."""

    def __init__(self, postfix: Postfix) -> None:
        self.postfix = postfix
        self.left: list[str] = []
        self.dead_ends: set[str] = set()  # domains whose mail has no place to go
        self.sections: Data = {"listeners": {}}
        self.routes: list[dict[str, object]] = []
        self.aliases: list[dict[str, object]] = []
        self.policies: list[dict[str, object]] = []
        self.commands = {service.name: service.command for service in postfix.services if service.type == "unix"}

    def run(self) -> Imported:
        postfix = self.postfix
        top: dict[str, object] = {"data_dir": "/var/lib/postroad"}
        if postfix.value("myhostname"):
            top["hostname"] = postfix.value("myhostname").lower()
        self._listeners()
        self._access()
        self._options()
        self._transport_maps()
        self._final_domains()
        self._default_routes()
        self._aliases()
        self._close_dead_ends()
        self._rest()
        return Imported(top, self.sections, self.routes, self.aliases, self.policies, self.left)

    # -- listeners -----------------------------------------------------------------------------

    def _listeners(self) -> None:
        listeners = self.sections["listeners"]
        for service in self.postfix.services:
            if service.type != "inet" or service.command not in {"smtpd", "postscreen"}:
                continue
            options = service.options
            if options.get("smtpd_tls_wrappermode") == "yes" or options.get("smtpd_sasl_auth_enable") == "yes":
                self.left.append(f"master.cf: {service.name}: a listener with TLS from the start or with logins")
                continue
            name = "mx" if "mx" not in listeners else f"mx{len(listeners) + 1}"
            listener: dict[str, object] = {"bind": self._binds(service)}
            if service.command == "postscreen":
                wait = self.postfix.given.get("postscreen_greet_wait", "6s")
                listener["greeting_delay"] = wait if wait[:-1].isdecimal() and wait[-1] in "sm" else "6s"
            listeners[name] = listener
            for option in sorted(set(options) - {"syslog_name"}):
                self.left.append(f"master.cf: {service.name}: -o {option}={options[option]}")
            if service.command == "postscreen":
                self.left.append(f"master.cf: {service.name}: postscreen's tests, but for its wait and its lists")
        if not listeners:
            listeners["mx"] = {"bind": ["127.0.0.1:25"]}
            self.left.append("master.cf: no plain SMTP listener; 127.0.0.1:25 stands in for one")

    def _binds(self, service: Service) -> list[str]:
        host, colon, port = service.name.rpartition(":")
        port = PORTS.get(port, port)
        if colon:
            host = host.strip("[]")
            return [f"[{host}]:{port}" if ":" in host else f"{'127.0.0.1' if host == 'localhost' else host}:{port}"]
        protocols = self.postfix.items("inet_protocols")
        both = "all" in protocols or not protocols
        families = [wanted for wanted in ("ipv4", "ipv6") if both or wanted in protocols]
        hosts: list[str] = []
        for interface in self.postfix.items("inet_interfaces"):
            known = {
                "all": ("0.0.0.0", "[::]"),  # noqa: S104  as Postfix listens
                "loopback-only": ("127.0.0.1", "[::1]"),
                "localhost": ("127.0.0.1", "[::1]"),
            }
            if interface in known:
                hosts += [known[interface][family == "ipv6"] for family in families]
            else:
                bare = interface.strip("[]")
                hosts.append(f"[{bare}]" if ":" in bare else bare)
        return list(dict.fromkeys(f"{host}:{port}" for host in hosts))

    # -- access --------------------------------------------------------------------------------

    def _access(self) -> None:
        access: dict[str, object] = {}
        if "mynetworks" in self.postfix.given:
            access["relay_networks"] = list(dict.fromkeys(self._networks()))
        elif self.postfix.given.get("mynetworks_style", "host") != "host":
            self.left.append(
                "mynetworks_style: only this machine may relay; name the networks in access.relay_networks"
            )
        domains: list[str] = []
        for domain in self._domains("relay_domains"):
            domains += [domain, f"*.{domain.lstrip('.')}"] if not domain.startswith(".") else [f"*{domain}"]
        for name in ("virtual_mailbox_domains", "virtual_alias_domains", "mydestination"):
            domains += self._domains(name)
        domains += [key for key, _ in self._table_entries("virtual_alias_maps") if "@" not in key and "." in key]
        access["relay_domains"] = list(dict.fromkeys(domain.lower() for domain in domains if "." in domain.strip(".")))
        self.sections["access"] = access

    def _networks(self) -> Iterator[str]:
        for item in self.postfix.items("mynetworks"):
            if "/" in item and (":/" in item or item.startswith("/")):
                self.left.append(f"mynetworks: {item}")
                continue
            try:
                yield str(ip_network(item.replace("[", "").replace("]", ""), strict=False))
            except ValueError:
                self.left.append(f"mynetworks: {item}")

    def _domains(self, name: str) -> list[str]:
        """A list of domains, those in tables among them."""
        found: list[str] = []
        for item in self.postfix.items(name):
            kind, colon, place = item.partition(":")
            if not colon and not item.startswith(("/", "!")):
                found.append(item)
                continue
            entries = self.postfix.entries(self.postfix.path_of(place)) if kind in TEXT_MAPS else None
            if entries is None:
                self.left.append(f"{name}: {item}")
            else:
                found += [key for key, _ in entries]
        return found

    # -- options -------------------------------------------------------------------------------

    def _options(self) -> None:
        for name, (section, option, form) in SECTIONS.items():
            if name in self.postfix.given and (value := self._written(name, form)) is not None:
                self.sections.setdefault(section, {})[option] = value
        level = self.postfix.value("smtp_tls_security_level")
        if level in TLS:
            self.sections.setdefault("delivery", {})["tls"] = TLS[level]
        elif level:
            self.left.append(f"smtp_tls_security_level = {level}")

    def _written(self, name: str, form: str) -> object:
        value = self.postfix.value(name)
        number = value.rstrip("smhdw")
        if not number.isascii() or not number.isdigit() or len(number) > 12:
            self.left.append(f"{name} = {value}")
            return None
        if int(number) == 0:
            if name == "delay_warning_time":
                return "never"
            self.left.append(f"{name} = {value}: there is no way to have no limit")
            return None
        if form in UNITS:
            return value if value != number else f"{number}{UNITS[form]}"
        return int(number)

    # -- routes --------------------------------------------------------------------------------

    def _transport_maps(self) -> None:
        entries = self._table_entries("transport_maps")
        ranks: list[Callable[[str], bool]] = [
            lambda key: "@" in key,
            lambda key: "@" not in key and not key.startswith(".") and key != "*",
            lambda key: key.startswith("."),
            lambda key: key == "*",
        ]
        for rank in ranks:
            wanted = sorted((key for key, _ in entries if rank(key)), key=lambda key: -key.count("."))
            values = dict(entries)
            for key in dict.fromkeys(wanted):
                if (key, values[key]) == ("*", ":"):
                    continue
                self._route(f"*{key}" if key.startswith(".") else key, values[key], f"transport_maps: {key}")

    def _route(self, recipient: str, value: str, where: str) -> None:
        target = self._target(value)
        if not target.hops and target.then is None:
            self.left.append(f"{where}: {target.doubt or value}; mail for it is held, and not taken from strangers")
            self.dead_ends.add(recipient.lower())
            target = Target(then="hold")
        elif target.doubt:
            self.left.append(f"{where}: {target.doubt}")
        action = {"next_hops": list(target.hops)} if target.hops else {"then": target.then}
        last = self.routes[-1] if self.routes else None
        joins = recipient != "*" and last is not None and last.get("recipients") != ["*"]
        if joins and last is not None and {key: last[key] for key in last if key != "recipients"} == action:
            recipients = last["recipients"]
            if isinstance(recipients, list):
                recipients.append(recipient)
                return
        self.routes.append({"recipients": [recipient], **action})

    def _close_dead_ends(self) -> None:
        """Take nothing from strangers that would only pile up here."""
        access = self.sections["access"]
        domains = access["relay_domains"]
        if isinstance(domains, list):
            access["relay_domains"] = [domain for domain in domains if domain not in self.dead_ends]

    def _target(self, value: str) -> Target:
        if value == ":":  # transport(5): as if the table did not exist
            value = self._default()
        return target_of(value, self.commands, self.postfix.value("queue_directory"))

    def _final_domains(self) -> None:
        """Domains whose mail Postfix itself puts into mailboxes."""
        for domain in self._domains("virtual_mailbox_domains"):
            self._route(domain, self.postfix.value("virtual_transport"), f"virtual_mailbox_domains: {domain}")
        transport = self.postfix.value("mailbox_transport") or self.postfix.value("local_transport")
        for domain in self._domains("mydestination"):
            if "." in domain.strip("."):
                self._route(domain, transport, f"mydestination: {domain}")

    def _default_routes(self) -> None:
        for key, value in self._table_entries("sender_dependent_relayhost_maps"):
            hops, doubt = relay_hops(value)
            if doubt or not hops:
                self.left.append(f"sender_dependent_relayhost_maps: {key}: {doubt or value}")
            if hops:
                self.routes.append({"senders": [key.removeprefix("@")], "next_hops": list(hops)})
        self._route("*", self._default(), "relayhost")

    def _default(self) -> str:
        """The transport of mail that nothing else is said of."""
        relayhost, transport = self.postfix.value("relayhost"), self.postfix.value("default_transport")
        return f"{transport}:{relayhost}" if relayhost and ":" not in transport else transport

    # -- tables --------------------------------------------------------------------------------

    def _table_entries(self, name: str) -> list[tuple[str, str]]:
        """What the readable tables of a parameter hold; the others are listed once, by `_rest` or `_aliases`."""
        found: list[tuple[str, str]] = []
        for item in self.postfix.items(name):
            kind, _, place = item.partition(":")
            entries = self.postfix.entries(self.postfix.path_of(place)) if kind in TEXT_MAPS else None
            if entries is not None:
                found += entries
            elif name != "virtual_alias_maps":
                self.left.append(f"{name}: {item}")
        return found

    def _aliases(self) -> None:
        delimiter = self.postfix.value("recipient_delimiter")[:1]
        for item in self.postfix.items("virtual_alias_maps"):
            kind, _, place = item.partition(":")
            path = self.postfix.path_of(place).absolute()
            if kind in TEXT_MAPS and self.postfix.entries(path) is not None:
                self.aliases.append({"file": str(path), "strict": True, "recipient_delimiter": delimiter})
            elif kind in {"regexp", "pcre"} and self._is_ours(item, path):
                self.aliases.append({"regexp": str(path), "recipient_delimiter": delimiter})
            elif kind not in {"regexp", "pcre"}:
                self.left.append(f"virtual_alias_maps: {item}")
        for domain in self._domains("virtual_alias_domains"):
            self._route(domain, "error:5.1.1 unknown recipient", "virtual_alias_domains")
        self.routes.sort(key=lambda route: route.get("recipients") == ["*"] or "senders" in route)

    def _is_ours(self, item: str, path: Path) -> bool:
        """True when our regular expressions understand the whole table."""
        text = read_text(path)
        flaws = [] if text is None else parse_patterns(text).flaws
        if flaws:
            self.left.append(f"virtual_alias_maps: {item}: line {flaws[0].line}: {flaws[0].text}")
        elif text is None:
            self.left.append(f"virtual_alias_maps: {item}")
        return text is not None and not flaws

    # -- the rest ------------------------------------------------------------------------------

    def _rest(self) -> None:
        known = USED | MEANINGLESS | SECTIONS.keys() | POSTSCREEN
        names = sorted(self.postfix.given.keys() - known)
        for name in names:
            if not name.endswith("_restrictions"):
                self.left.append(f"{name} = {self.postfix.value(name)[:200]}")
        restrictions = {
            name: [word for word in self.postfix.items(name) if word not in PLAIN_RESTRICTIONS]
            for name in names
            if name.endswith("_restrictions")
        }
        screened = any(service.command == "postscreen" for service in self.postfix.services)
        sites = self.postfix.items("postscreen_dnsbl_sites") if screened else []
        threshold = self.postfix.given.get("postscreen_dnsbl_threshold", "1")
        checks = checks_of(restrictions, sites, int(threshold) if threshold.isdecimal() else 1)
        self.policies += checks.policies
        self.left += checks.left
