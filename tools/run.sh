#!/usr/bin/env bash
# Starts the quick start in the foreground. Ctrl-C drains the server, and then `make run` ends without an error.
set -uo pipefail
cd "$(dirname "$0")/.."
command=(.venv/bin/postroad serve --config quickstart/postroad.toml)

[ -t 0 ] || exec "${command[@]}" # not a terminal: signals come to the process itself

# Job control gives the server the terminal for itself, so that ctrl-C reaches it alone and not make, which
# would report an interrupted target. Ctrl-Z would leave a stopped server behind, so it is resumed.
set -m
"${command[@]}"
status=$?
while [ -n "$(jobs -s)" ]; do
    fg >/dev/null
    status=$?
done
exit "$status"
