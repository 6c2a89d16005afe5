#!/usr/bin/env bash
# Builds the Debian packages into dist/ (or into the folder that is given), without touching the checkout.
# MACHINE_CODE=FOLDER takes the modules that tools/compile.py has compiled there.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "${1:-dist}"
target=$(cd "${1:-dist}" && pwd)

for program in dh dpkg-buildpackage; do
    command -v "$program" >/dev/null || missing=1
done
[ -z "${missing:-}" ] || tools/debian.sh packages debhelper dpkg-dev

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/postroad
mkdir "$tree"
cp -r pyproject.toml README.md LICENSE CHANGELOG.md src requirements packaging contrib tools "$tree"
cp -r packaging/debian "$tree/debian"
cp packaging/systemd/postroad.service "$tree/debian/postroad.service"
find "$tree" -name __pycache__ -type d -prune -exec rm -rf {} +

# SOURCE_DATE_EPOCH comes from the changelog; pip of the development environment installs into the package.
log=$work/log
if ! (cd "$tree" && PYTHON="$OLDPWD/.venv/bin/python" dpkg-buildpackage --build=binary --no-sign --no-check-builddeps) >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    exit 70 # EX_SOFTWARE
fi
for package in "$work"/*.deb; do
    cp "$package" "$target"
    echo "$target/$(basename "$package")"
done
