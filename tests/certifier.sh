#!/bin/sh
# Runs the certifier of OpenFaaS against a skep on a Swarm; its function images are made here, and nothing is pulled.
#
#   sh tests/certifier.sh CERTIFIER [ARGUMENT...]      for example -test.run Test_Invoke
#
# CERTIFIER is its test binary; tests/README.md says how to build it. `make test-certifier` starts a Swarm for it first.
#
# GATEWAY      where skep is, http://127.0.0.1:8080 if not set
# CREDENTIALS  USER:PASSWORD, where the gateway asks for them
# DOCKER       the client of the engine that runs functions, docker if not set; with several nodes, each needs the images
# CERTIFIER_NAMESPACES  one more namespace in which the certifier tests, certifier-test if not set; made and deleted here
#
# The scaling tests want Prometheus and Alertmanager beside the gateway, as the stack file has them.
# Nothing may be deployed before: the certifier lists functions and compares. What it leaves behind is deleted.
set -eu
[ $# -gt 0 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
certifier=$(realpath "$1")
shift
cd "$(dirname "$0")/.."

gateway=${GATEWAY:-http://127.0.0.1:8080}
docker=${DOCKER:-docker}
export CERTIFIER_NAMESPACES="${CERTIFIER_NAMESPACES-certifier-test}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

main() {
    for kind in functions secrets; do
        found=$(names $kind "")
        [ -z "$found" ] || { echo "certifier.sh: delete these $kind first: $found" >&2; exit 1; }
    done
    images
    if [ -n "${CREDENTIALS:-}" ]; then
        login
        set -- -enableAuth "$@"
    fi
    [ -z "$CERTIFIER_NAMESPACES" ] || ask -X POST "$gateway/system/namespace/$CERTIFIER_NAMESPACES"
    status=0
    "$certifier" -test.v -gateway="$gateway" "$@" || status=$?
    clear_up ""
    if [ -n "$CERTIFIER_NAMESPACES" ]; then
        clear_up "$CERTIFIER_NAMESPACES"
        ask -X DELETE "$gateway/system/namespace/$CERTIFIER_NAMESPACES"
    fi
    exit $status
}

ask() {
    curl --silent --show-error --fail ${CREDENTIALS:+--user "$CREDENTIALS"} "$@"
}

# The names of all functions or secrets of a namespace.
names() {
    ask "$gateway/system/$1?namespace=$2" |
        python3 -c 'import json, sys; print(*(one["name"] for one in json.load(sys.stdin)))'
}

# Deletes what is left in a namespace.
clear_up() {
    for function in $(names functions "$1"); do
        ask -X DELETE -d "{\"functionName\":\"$function\"}" "$gateway/system/functions?namespace=$1"
    done
    for secret in $(names secrets "$1"); do
        ask -X DELETE -d "{\"name\":\"$secret\",\"namespace\":\"$1\"}" "$gateway/system/secrets"
    done
}

# The two images by the names that the certifier asks for.
images() {
    watchdog=${SKEP_TEST_STATIC_WATCHDOG:-$(sh scripts/static-watchdog.sh)}
    programs=
    for program in sha512sum env cat; do
        programs="$programs $(command -v $program):/bin/$program"
    done
    mkdir "$work/alpine" "$work/redirector"
    # shellcheck disable=SC2086
    sh scripts/image-root.sh "$work/alpine/image" "$watchdog:/usr/bin/fwatchdog" $programs
    printf 'FROM scratch\nCOPY image /\nCMD ["fwatchdog"]\n' >"$work/alpine/Dockerfile"
    $docker build --quiet --tag functions/alpine:latest "$work/alpine"

    "${CC:-cc}" -O2 -static -o "$work/handler" tests/functions/redirector.c
    sh scripts/image-root.sh "$work/redirector/image" "$watchdog:/usr/bin/fwatchdog" "$work/handler:/handler"
    printf 'FROM scratch\nCOPY image /\nENV mode=http fprocess=/handler\nCMD ["fwatchdog"]\n' >"$work/redirector/Dockerfile"
    $docker build --quiet --tag theaxer/redirector:latest "$work/redirector"
}

# The certifier reads credentials where faas-cli keeps them.
login() {
    mkdir "$work/.openfaas"
    printf 'auths:\n- gateway: %s\n  auth: basic\n  token: %s\n' \
        "$gateway" "$(printf %s "$CREDENTIALS" | base64 -w 0)" >"$work/.openfaas/config.yml"
    export OPENFAAS_CONFIG="$work/.openfaas"
}

main "$@"
