#!/bin/sh
# Of the image that offline.sh makes: the part of the official image's start that infra/compose.yaml uses.
set -eu
: "${PGDATA:=/var/lib/postgresql/data}" "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
export PGDATA
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # Under another name first: a cluster that was half made is never taken for a whole one.
    rm -rf "$PGDATA.new"
    # shellcheck disable=SC2086  # several options
    initdb -D "$PGDATA.new" -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust ${POSTGRES_INITDB_ARGS:-}
    echo "host all all all scram-sha-256" >>"$PGDATA.new/pg_hba.conf"
    if [ "$POSTGRES_DB" != postgres ]; then
        echo "CREATE DATABASE \"$POSTGRES_DB\"" | postgres --single -D "$PGDATA.new" postgres >/dev/null
    fi
    mv "$PGDATA.new" "$PGDATA"
fi
exec "$@" -c listen_addresses='*'
