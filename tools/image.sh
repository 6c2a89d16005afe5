#!/usr/bin/env bash
# Builds the container image with whatever is there for it. Usage: image.sh [OPTION...], passed on to the build.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml)
options=(--tag "postroad:$version" --file Containerfile "$@" .)

if command -v podman >/dev/null; then
    exec podman build --format docker "${options[@]}" # OCI's own format has no health check
elif command -v buildah >/dev/null; then
    exec buildah build --format docker "${options[@]}"
elif command -v docker >/dev/null; then
    exec docker build "${options[@]}"
fi
echo "An image is built by podman, buildah or docker: install one of them (apt-get install buildah)." >&2
exit 69 # EX_UNAVAILABLE
