#!/bin/sh
# Checks fwatchdog in function images, in a Docker engine: one line per check, exit code 1 if one fails.
#
#   sh tests/images.sh [BASE IMAGE...]     alpine and debian:bookworm-slim if none is named; FROM scratch always
#
# DOCKER_BUILD  how images are built, for example "docker build --network host"
# BUSYBOX       an image whose /bin/busybox is static, the program of the image FROM scratch
set -eu
cd "$(dirname "$0")/.."

build=${DOCKER_BUILD:-docker build}
busybox=${BUSYBOX:-busybox:musl}
tag=skep-images-$$
label=skep.test=$tag
work=$(mktemp -d)
failed=0

clean_up() {
    containers=$(docker ps -aq --filter "label=$label")
    [ -z "$containers" ] || docker rm -f $containers >/dev/null
    images=$(docker images -q --filter "label=$label")
    [ -z "$images" ] || docker rmi -f $images >/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

main() {
    $build --target watchdog --label "$label" -t "$tag:watchdog" . >"$work/build" 2>&1 || { cat "$work/build" >&2; exit 1; }
    [ $# -gt 0 ] || set -- alpine debian:bookworm-slim
    for base in "$@"; do
        fwatchdog=fwatchdog box=
        image "FROM $base
COPY --from=$tag:watchdog /fwatchdog /usr/bin/fwatchdog
ENV fprocess=\"cat\"
HEALTHCHECK CMD [\"fwatchdog\", \"--run-healthcheck\"]
CMD [\"fwatchdog\"]"
        check_all
        check_lock_file_as_health
    done
    base=scratch fwatchdog=/fwatchdog box="/busybox "
    image "FROM scratch
COPY --from=$tag:watchdog /fwatchdog /fwatchdog
COPY --from=$busybox /bin/busybox /busybox
ENV fprocess=\"/busybox cat\"
HEALTHCHECK CMD [\"/fwatchdog\", \"--run-healthcheck\"]
USER 1000
CMD [\"/fwatchdog\"]"
    check_all
    check_without_tmp
    check_names_are_resolved
    exit $failed
}

check_all() {
    start
    is "echo" hello "$(curl -s -d hello "$url")"
    is "health" 200 "$(status "$url/_/health")"
    is "healthy, says the engine" healthy "$(health)"
    memory=$(docker exec "$container" ${box}cat /proc/1/status | sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p')
    is "memory after a call is below 5 MB ($memory kB)" yes "$([ "$memory" -lt 5000 ] && echo yes)"

    start -e "fprocess=${box}sh -c 'echo no; exit 3'"
    is "a function that fails is 500" 500 "$(status -d x "$url")"
    is "the answer tells why" "exit status 3 no" "$(curl -s -d x "$url" | tr '\n' ' ' | sed 's/ $//')"

    start --user 1000 -e "fprocess=${box}id -u"
    is "as user 1000" 1000 "$(curl -s "$url")"
    is "as user 1000: healthy, says the engine" healthy "$(health)"

    start --read-only
    is "read-only: echo" hello "$(curl -s -d hello "$url")"
    is "read-only: health" 200 "$(status "$url/_/health")"
    is "read-only: healthy, says the engine" healthy "$(health)"
    is "read-only: one line tells that there is no lock file" 1 "$(complaints)"

    start --read-only --tmpfs /tmp
    is "read-only with a tmpfs on /tmp: echo" hello "$(curl -s -d hello "$url")"
    is "read-only with a tmpfs on /tmp: healthy, says the engine" healthy "$(health)"
    is "read-only with a tmpfs on /tmp: the lock file is there" 0:0 \
        "$(complaints):$(docker exec "$container" ${box}test -f /tmp/.lock; echo $?)"

    check_stop
    check_processes
}

check_stop() {
    start -e "fprocess=${box}sh -c '${box}sleep 3; echo finished'" -e healthcheck_interval=1s
    curl -s -d x "$url" >"$work/answer" &
    call=$!
    wait_until runs "sleep 3"
    began=$(date +%s)
    docker stop -t 60 "$container" >/dev/null
    took=$(($(date +%s) - began))
    # A call that is cut off fails here, and is reported below.
    wait $call || true
    is "docker stop: the running call finishes" finished "$(cat "$work/answer")"
    is "docker stop: exit code 0 (after $took s)" 0 "$(docker inspect -f '{{.State.ExitCode}}' "$container")"
}

check_processes() {
    # Its parent ends first, so that it becomes a child of PID 1.
    start -e "fprocess=${box}sh -c '(${box}sleep 0.2 &); ${box}sleep 300'"
    curl -s -d x "$url" >"$work/answer" &
    wait_until runs "sleep 300"
    wait_until lacks "sleep 0.2"
    wait_until no_zombies || true
    is "an orphan that ends is reaped while its call runs" 0:yes "$(zombies):$(runs "sleep 300" && echo yes)"

    start -e "fprocess=${box}sh -c '(${box}setsid ${box}sleep 1000 >/dev/null 2>&1 &); echo left'"
    for _ in 1 2 3 4 5; do curl -s -d x "$url" >"$work/answer"; done
    wait_until lacks "sleep 1000" || true
    wait_until no_zombies || true
    is "what a program leaves behind is killed and reaped" left:0:0 "$(cat "$work/answer"):$(count "sleep 1000"):$(zombies)"
}

check_lock_file_as_health() {
    start --health-cmd '[ -e /tmp/.lock ] || exit 1'
    is "HEALTHCHECK of OpenFaaS's images: healthy, says the engine" healthy "$(health)"
}

check_without_tmp() {
    start
    is "without /tmp: healthy, says the engine" healthy "$(health)"
    is "without /tmp: one line tells that there is no lock file" 1 "$(complaints)"
}

check_names_are_resolved() {
    start -e "fprocess=/busybox httpd -f -p 127.0.0.1:9000 -h /etc" -e upstream_url=http://localhost:9000
    wait_until function_is_ready
    is "http mode: a name in upstream_url is found" "$(docker inspect -f '{{.Config.Hostname}}' "$container")" \
        "$(curl -s "$url/hostname")"
}

# image DOCKERFILE: builds it as the image of what follows.
image() {
    name=$tag:$(echo "$base" | tr -c 'a-z0-9\n' -)
    echo "$1" | docker build -q --label "$label" -t "$name" - >"$work/build" 2>&1 || { cat "$work/build" >&2; exit 1; }
}

# start OPTION...: a container of the image instead of the last one.
start() {
    [ -z "${container:-}" ] || docker rm -f "$container" >/dev/null
    container=$(docker run -d --label "$label" -p 127.0.0.1::8080 --health-interval 1s "$@" "$name")
    url=http://$(docker port "$container" 8080/tcp | head -n 1)
    wait_until answers || { docker logs "$container" >&2; exit 1; }
}

# is WHAT EXPECTED FOUND
is() {
    if [ "$2" = "$3" ]; then
        echo "ok    $base: $1"
    else
        echo "FAIL  $base: $1: \"$3\" instead of \"$2\""
        failed=1
    fi
}

wait_until() {
    for _ in $(seq 300); do
        ! "$@" || return 0
        sleep 0.1
    done
    echo "waited in vain in $base: $*" >&2
    return 1
}

status() { curl -s -o /dev/null -w '%{http_code}' "$@"; }
answers() { [ "$(status "$url/_/health")" != 000 ]; }
function_is_ready() { [ "$(status "$url/_/ready")" = 200 ]; }
checked() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$container")" != starting ]; }
health() {
    wait_until checked || true
    docker inspect -f '{{.State.Health.Status}}' "$container"
}
complaints() { docker logs "$container" 2>&1 | grep -c 'Cannot write /tmp/.lock' || true; }
count() { docker top "$container" -eo pid,args | grep -v 'sh -c' | grep -c "$1" || true; }
runs() { [ "$(count "$1")" -gt 0 ]; }
lacks() { ! runs "$1"; }
# Not from docker top, which shows none.
zombies() { docker exec "$container" ${box}sh -c "${box}cat /proc/[0-9]*/stat" 2>/dev/null | grep -c ') Z ' || true; }
no_zombies() { [ "$(zombies)" -eq 0 ]; }

main "$@"
