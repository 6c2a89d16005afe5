#!/usr/bin/env bash
# Makes .venv and installs a lock file ("run" or "dev") and the project into it. Safe to run again.
# PYTHON=/path/to/python chooses the interpreter; otherwise the distribution's, which is built with optimisations that
# a plain build lacks (a third faster here), else the first one of 3.11 or later in the PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=$1
venv=.venv

stop() {
    echo "$*" >&2
    exit 69 # EX_UNAVAILABLE
}

recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
complete() { "$1" -c 'import ensurepip' 2>/dev/null; }
may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

choose_python() {
    local candidate
    # shellcheck disable=SC2086  # a list of words
    set -- ${PYTHON:-/usr/bin/python3 python3 python3.13 python3.12 python3.11 python3.14}
    for candidate in "$@"; do
        if command -v "$candidate" >/dev/null && recent "$candidate" && { complete "$candidate" || may_install; }; then
            echo "$candidate"
            return
        fi
    done
    for candidate in "$@"; do # incomplete, and what it lacks will be said
        if command -v "$candidate" >/dev/null && recent "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    candidate=${PYTHON:-python3}
    command -v "$candidate" >/dev/null || stop "Postroad needs Python 3.11 or later: $candidate is not installed."
    stop "Postroad needs Python 3.11 or later: $candidate is $("$candidate" --version 2>&1); name another with PYTHON=..."
}

make_venv() {
    local python=$1 package log
    complete "$python" || {
        # Debian keeps this part of Python in a package of its own.
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        if may_install; then
            tools/debian.sh packages "$package"
        else
            stop "Postroad needs the package $package: install it (apt-get install $package) and run make again."
        fi
    }
    rm -rf "$venv"
    log=$("$python" -m venv "$venv" 2>&1) || {
        rm -rf "$venv"
        stop "The virtual environment could not be made: $(tail -n 1 <<<"$log")"
    }
}

# A venv of a Python that is gone, or of another folder, is made anew.
current() {
    [ -x "$venv/bin/python" ] && recent "$venv/bin/python" &&
        grep -qF "VIRTUAL_ENV=" "$venv/bin/activate" && grep -qF "$PWD/$venv" "$venv/bin/activate"
}

if ! current; then
    python=$(choose_python)
    echo "Making .venv with $("$python" --version)" >&2
    make_venv "$python"
fi

echo "Installing requirements/$kind.lock into .venv" >&2
pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input)
"${pip[@]}" install --require-hashes --requirement "requirements/$kind.lock"
"${pip[@]}" install --no-build-isolation --no-deps --editable .

touch "$venv/.run.stamp"
[ "$kind" = run ] || touch "$venv/.dev.stamp"
