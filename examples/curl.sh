#!/bin/sh
# A network's bridge with two tunnels, by curl: set up, look, one tunnel more, remove.
#
# usage: curl.sh                on the host itself, as root, by the Unix socket
#        curl.sh URL DIR        from elsewhere; DIR has ca.crt, client.crt and client.key
# OVSTUNNEL_SOCKET names another socket. Exit status: 0 all was answered well; curl's own otherwise.
set -eu

if [ $# -eq 2 ]; then
    api=$1
    set -- --cacert "$2/ca.crt" --cert "$2/client.crt" --key "$2/client.key"
else
    api=http://localhost
    set -- --unix-socket "${OVSTUNNEL_SOCKET:-/run/ovstunnel/ovstunneld.sock}"
fi

# ask METHOD PATH BODY OPTIONS: --fail-with-body has an error end the script, and its JSON is shown.
ask() {
    method=$1 path=$2 body=$3
    shift 3
    [ -z "$body" ] || set -- "$@" --header 'content-type: application/json' --data "$body"
    curl --silent --show-error --fail-with-body --max-time 60 --request "$method" "$@" "$api$path"
    echo
}

# The complete set of tunnels: what is missing is made, what is not named goes.
ask PUT /v1/bridges/example0 '{
    "key": 1001, "host_id": 1,
    "tunnels": [{"to": 2, "remote_ip": "192.0.2.2"}, {"to": 3, "remote_ip": "192.0.2.3"}]
}' "$@"

# What would be done for a smaller set; nothing is changed.
ask PUT '/v1/bridges/example0?dry_run=true' '{
    "key": 1001, "host_id": 1, "tunnels": [{"to": 2, "remote_ip": "192.0.2.2"}]
}' "$@"

ask POST /v1/bridges/example0/tunnels '{"to": 4, "from": 1, "remote_ip": "192.0.2.4"}' "$@"
ask GET /v1/bridges/example0 '' "$@"
ask DELETE /v1/bridges/example0/tunnels/t1001-1-4 '' "$@"
ask DELETE /v1/bridges/example0 '' "$@"
