#!/usr/bin/env bash
# Pins every dependency, with hashes, for all supported Pythons on Linux: requirements/{run,dev}.lock.
# The locks name no package index: pip takes whatever index the machine is set up for and checks the hashes.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
tools=.cache/lock
[ -x "$tools/bin/uv" ] || { "$python" -m venv "$tools" && "$tools/bin/pip" install --quiet "uv>=0.13,<0.14"; }

compile() {
    local output=$1
    shift
    "$tools/bin/uv" pip compile pyproject.toml "$@" \
        --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --output-file "$output"
    echo "wrote $output: $(grep -c '==' "$output") packages"
}

compile requirements/run.lock --group build "$@"
compile requirements/dev.lock --group build --group dev --all-extras --constraints requirements/run.lock "$@"
