#!/usr/bin/env bash
# Installs the locked node packages of a folder into its node_modules, when they are not there yet.
set -euo pipefail
cd "$(dirname "$0")/../$1"
done_marker=node_modules/.package-lock.json
[ ! -e "$done_marker" ] || [ "$done_marker" -ot package-lock.json ] || exit 0
echo "Installing the node packages of $1" >&2
npm ci --no-audit --no-fund --no-update-notifier --loglevel=error </dev/null >&2
touch "$done_marker"
