#!/usr/bin/env bash
# What `make serve` needs on a plain Debian machine: PostgreSQL, a Docker engine that answers, current images.
# Only root installs or starts anything, only what is absent, and every such step is said. Options are those of serve.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${VENV:-.venv}/bin/python"

say() { echo "prepare.sh: $*" >&2; }
absent() { ! command -v "$1" >/dev/null 2>&1; }
root() { [ "$(id -u)" = 0 ]; }
wants() { case " $* " in *" --engine process "* | *" --engine=process "*) return 1 ;; esac; }

packages=()
if ! compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null && absent initdb; then packages+=(postgresql); fi
if wants "$@"; then
    if absent docker || { absent dockerd && ! docker info >/dev/null 2>&1; }; then packages+=(docker.io); fi
    if absent debootstrap && ! docker image inspect stagegate/base:bookworm >/dev/null 2>&1; then packages+=(debootstrap); fi
fi
if [ ${#packages[@]} -gt 0 ]; then
    if root && ! absent apt-get; then
        say "installs ${packages[*]}"
        { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
            "${packages[@]}" >/dev/null; } || say "could not install ${packages[*]}; going on without"
    else
        say "not installed: ${packages[*]}; as root: apt-get install ${packages[*]}"
    fi
fi
wants "$@" || exit 0

if ! absent docker && ! docker info >/dev/null 2>&1 && root; then
    if [ -d /run/systemd/system ]; then
        say "starts the Docker engine: systemctl start docker"
        systemctl start docker
    else
        log=/var/log/stagegate-dockerd.log
        setsid env --default-signal=INT,QUIT,TERM dockerd --storage-driver=overlay2 >"$log" 2>&1 </dev/null &
        say "started dockerd (process $!, log $log); it stays when serve ends"
    fi
    for _ in $(seq 150); do docker info >/dev/null 2>&1 && break; sleep 0.2; done
fi
if absent docker || ! docker info >/dev/null 2>&1; then
    say "no Docker engine answers; steps will run as processes of this machine"
    exit 0
fi

"$python" - <<'PYTHON' || "${MAKE:-make}" images IMAGES="core tf"
import sys
from tasks.orchestration.serving.images import image_name, is_current
from tasks.orchestration.serving.serve import NEEDED
sys.exit(not all(is_current(image_name(kind)) for kind in NEEDED))
PYTHON
