#!/usr/bin/env bash
# Makes the secrets of infra/compose.yaml, each once: secrets.sh [FOLDER]. To renew one: delete its file, run this again.
# (The database keeps the password it was made with: change that one there first.)
# Compose mounts the files with their own owner and mode into containers of several users. So the files can be read by
# all, and the folder keeps everybody else on this machine out.
set -euo pipefail
folder="${1:-$(dirname "$0")/secrets}"
umask 077
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
make() { # NAME TEXT
    [ -e "$folder/$1" ] && { echo "$1: kept"; return; }
    printf '%s' "$2" >"$folder/$1.new"
    chmod 444 "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
    echo "$1: made"
}

make auth "stagegate:$(random)"
make postgres_password "$(random)"
# For S3 of your own: write its keys here. The demo makes its user from what stands here.
make s3_credentials "$(printf '[default]\naws_access_key_id = stagegate\naws_secret_access_key = %s\n' "$(random)")"
