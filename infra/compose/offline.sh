#!/usr/bin/env bash
# Images of other people's parts for infra/compose.yaml on a machine that reaches no registry, made from Debian's packages
# with debootstrap (root only): offline.sh postgres (stagegate/postgres:15) or offline.sh ceph (stagegate/ceph:16).
# The first one takes the variables of the official image that the compose file sets.
set -euo pipefail

mirror="${DEBIAN_MIRROR:-}" # empty: debootstrap's own
here="$(cd "$(dirname "$0")" && pwd)"

fail() { echo "offline.sh: $*" >&2; exit 4; }

case "${1:-}" in
    postgres) tag=stagegate/postgres:15 packages=postgresql ;;
    ceph) tag=stagegate/ceph:16 packages=radosgw,ceph-mon,ceph-osd,ceph-common ;;
    *) echo "offline.sh postgres|ceph" >&2; exit 2 ;;
esac
docker info >/dev/null 2>&1 || fail "the Docker engine does not answer. Start dockerd, or set DOCKER_HOST."
if docker image inspect "$tag" >/dev/null 2>&1; then echo "$tag is there"; exit 0; fi
[ "$(id -u)" = 0 ] || fail "debootstrap needs root."
command -v debootstrap >/dev/null || fail "debootstrap is not installed: apt-get install debootstrap"

root="$(mktemp -d)"
trap 'rm -rf --one-file-system "$root"' EXIT
echo "$tag: debootstrap, a minute or two"
# shellcheck disable=SC2086  # an empty mirror must vanish
debootstrap --variant=minbase --include="$packages" bookworm "$root/fs" $mirror >"$root/log" 2>&1 ||
    { tail -n 5 "$root/log" >&2; fail "debootstrap failed; the end of its log is above."; }

changes=()
if [ "$1" = postgres ]; then
    # The user id of the official image, so that either one can use the volume.
    chroot "$root/fs" groupmod -g 999 postgres
    chroot "$root/fs" usermod -u 999 postgres
    rm -rf "$root"/fs/var/lib/postgresql/* "$root"/fs/etc/postgresql/*
    install -d -o 999 -g 999 -m 700 "$root/fs/var/lib/postgresql/data"
    install -d -o 999 -g 999 -m 2775 "$root/fs/var/run/postgresql"
    install -m 755 "$here/postgres-entrypoint.sh" "$root/fs/usr/local/bin/docker-entrypoint.sh"
    changes=(--change 'ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin'
        --change 'ENTRYPOINT ["docker-entrypoint.sh"]' --change 'CMD ["postgres"]' --change 'USER 999:999')
fi
rm -rf "$root"/fs/var/cache/apt/* "$root"/fs/var/lib/apt/lists/* "$root"/fs/var/log/* "$root"/fs/usr/share/{doc,man,locale}
tar -C "$root/fs" -c . | docker import "${changes[@]}" - "$tag" >/dev/null
echo "$tag is made"
