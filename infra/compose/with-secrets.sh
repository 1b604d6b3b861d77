#!/bin/sh
# Secrets are files; Prefect reads them from the environment of its own process only: NAME_FILE becomes NAME.
set -eu
for name in PREFECT_API_AUTH_STRING PREFECT_SERVER_API_AUTH_STRING PREFECT_SERVER_DATABASE_PASSWORD; do
    eval "file=\${${name}_FILE:-}"
    [ -n "$file" ] || continue
    [ -r "$file" ] || { echo "with-secrets: $file cannot be read; run infra/compose/secrets.sh" >&2; exit 2; }
    export "$name=$(cat "$file")"
    unset "${name}_FILE"
done
exec "$@"
