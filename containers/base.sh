#!/usr/bin/env bash
# Puts the base image into the Docker engine under a local tag: the official slim image where a registry can be reached
# (its digest is printed, to pin), else Debian bookworm with its own Python 3.11, made with debootstrap (root only).
set -euo pipefail

tag="${1:-stagegate/base:bookworm}"
official=python:3.11-slim-bookworm
mirror="${DEBIAN_MIRROR:-}" # empty: debootstrap's own

fail() { echo "base.sh: $*" >&2; exit 4; }

command -v docker >/dev/null || fail "the docker client is not installed. Install docker.io (Debian) or the Docker engine."
docker info >/dev/null 2>&1 || fail "the Docker engine does not answer. Start dockerd, or set DOCKER_HOST."
if docker image inspect "$tag" >/dev/null 2>&1; then
    echo "base image $tag is there"
    exit 0
fi

if timeout 300 docker pull -q "$official" >/dev/null 2>&1; then
    docker tag "$official" "$tag"
    echo "base image $tag is $(docker image inspect -f '{{index .RepoDigests 0}}' "$official"): pin it with BASE_IMAGE"
    exit 0
fi

[ "$(id -u)" = 0 ] || fail "no registry answers, and debootstrap needs root. Run this as root, or load an image and give BASE_IMAGE."
command -v debootstrap >/dev/null || fail "no registry answers, and debootstrap is not installed: apt-get install debootstrap"
root="$(mktemp -d)"
trap 'rm -rf --one-file-system "$root"' EXIT
echo "base image $tag: no registry answers; debootstrap, about a minute"
# shellcheck disable=SC2086  # an empty mirror must vanish
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root/fs" $mirror >"$root/log" 2>&1 ||
    { tail -n 5 "$root/log" >&2; fail "debootstrap failed; the end of its log is above."; }
rm -rf "$root"/fs/var/cache/apt/* "$root"/fs/var/lib/apt/lists/* "$root"/fs/var/log/* "$root"/fs/usr/share/{doc,man,locale}
tar -C "$root/fs" -c . | docker import --change 'CMD ["python3"]' - "$tag" >/dev/null
echo "base image $tag is made"
