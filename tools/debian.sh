#!/usr/bin/env bash
# Installs the Debian packages of a purpose that are missing (needs root), without starting their services.
# Usage: debian.sh tests | bench | compile | image | packages NAME...
set -euo pipefail

# Each line: a package, and a program or file by which we know that it is there, however it was installed.
tests() {
    cat <<'LIST'
postfix          postfix
swaks            swaks
libopendmarc2    /usr/lib/*/libopendmarc.so.2
python3-authheaders /usr/lib/python3/dist-packages/authheaders/__init__.py
python3-spf      /usr/lib/python3/dist-packages/spf.py
golang-blitiri-go-spf-dev /usr/share/gocode/src/blitiri.com.ar/go/spf/testdata/rfc7208-tests.yml
curl             curl
msmtp            msmtp
gsasl            gsasl
dovecot-core     dovecot
dovecot-lmtpd    /usr/lib/dovecot/lmtp
knot             knotd
unbound          unbound
pflogsumm        pflogsumm
prometheus       promtool
prometheus-postfix-exporter prometheus-postfix-exporter
fail2ban         fail2ban-regex
haproxy          haproxy
microsocks       microsocks
dante-server     danted
openssl          openssl
pebble           pebble
redis-server     redis-server
postgresql       pg_ctlcluster
slapd            slapd
ldap-utils       ldapmodify
rsyslog          rsyslogd
nodejs           node
npm              npm
systemd          systemd-analyze
gcc              gcc
python3-dev      python3-config
debhelper        dh
dpkg-dev         dpkg-buildpackage
lintian          lintian
opendkim         opendkim
softhsm2         softhsm2-util
util-linux       setpriv
LIST
}

bench() { compile && printf '%s\n' "postfix postfix" "procps pgrep"; }

compile() { printf '%s\n' "gcc gcc" "python3-dev python3-config"; }

image() { echo "buildah buildah"; }

missing() {
    local package program
    while read -r package program; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || compgen -G "$program" >/dev/null || echo "$package"
    done
}

purpose=$1
shift
case $purpose in
    tests | bench | compile | image) mapfile -t packages < <("$purpose" | missing) ;;
    packages) packages=("$@") ;;
    *) echo "unknown purpose: $purpose" >&2 && exit 64 ;;
esac
[ ${#packages[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "These packages are missing: ${packages[*]}. Install them, or run make as root on Debian." >&2
    exit 69 # EX_UNAVAILABLE
fi

# Packages ask this script before they start a service; for the time of the installation it says no.
policy=/usr/sbin/policy-rc.d
saved=$policy.postroad-saved
restore() {
    rm -f "$policy"
    [ ! -e "$saved" ] || mv "$saved" "$policy"
}
trap restore EXIT
[ -e "$saved" ] || [ ! -e "$policy" ] || mv "$policy" "$saved"
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
if [[ " ${packages[*]} " == *" postfix "* ]] && command -v debconf-set-selections >/dev/null; then
    echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
fi
echo "Installing with apt-get: ${packages[*]}" >&2
log=$(mktemp)
get=(apt-get --quiet --yes --no-install-recommends -o DPkg::Lock::Timeout=300)
"${get[@]}" update </dev/null >"$log" 2>&1 || true # an old list may still do
if ! "${get[@]}" install "${packages[@]}" </dev/null >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    exit 69 # EX_UNAVAILABLE
fi
rm -f "$log"
