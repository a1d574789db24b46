#!/bin/sh
# A source for AUPS with curl: registers if there is no FILE yet, then sends standard input, a JSON value or an array of them.
#
#   echo '{"name":"temperature","value":21.5,"unit":"Cel"}' | ./source.sh http://127.0.0.1:8080 sensor1 sensor1.json
#
# It does not seal: see source.py, source.c or `aups send`. Keep FILE to yourself.
set -eu
umask 077
[ $# -eq 3 ] || { sed -n '2,6p' "$0" >&2; exit 2; }
server=$1 node=$2 file=$3

if [ ! -s "$file" ]; then
    curl -sS --fail-with-body -o "$file.new" "$server/registration" -H 'Content-Type: application/json' \
        -d "{\"NodeId\":\"$node\",\"NodeType\":\"sensor\",\"CommunicationMode\":\"discrete\"}" ||
        { cat "$file.new" >&2; rm -f "$file.new"; exit 1; }
    mv "$file.new" "$file"
fi
credential=$(sed 's/.*"credential":"\([^"]*\)".*/\1/' "$file")

# The key is the same for every try, so that what was taken is taken once; curl waits as Retry-After says. The credential goes by a
# file descriptor: arguments are seen by everybody on the machine.
key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
body=$(mktemp)
trap 'rm -f "$body"' EXIT
cat > "$body"
send() {
    printf 'header = "Authorization: Bearer %s"\n' "$credential" |
        curl -sS --fail-with-body --retry 5 --retry-connrefused -K - "$server/data" -H 'Content-Type: application/json' \
            -H "Idempotency-Key: \"$key\"" --data-binary "@$body"
}

# Only a connection that broke off is left to us: no answer (52), or not all was sent (55) or received (56).
for pause in 1 2 4 8 0; do
    if send; then
        echo
        exit 0
    else
        status=$?
    fi
    case $status in 52 | 55 | 56) sleep $pause ;; *) exit $status ;; esac
done
exit "$status"
