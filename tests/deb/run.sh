#!/bin/sh
# Installs the Debian package on a Debian with systemd, calls a function, upgrades the package while 100 calls are queued, and purges it.
#
#   sh tests/deb/run.sh FIRST.deb SECOND.deb      the second one has a higher version
#
# One line per check; exit code 1 if one fails.
set -eu
cd "$(dirname "$0")/../.."

first=$1 second=$2
base=${XDG_CACHE_HOME:-$HOME/.cache}/skep/debian-bookworm
work=$(mktemp -d)
calls=100
failed=0
machine=

clean_up() {
    [ -z "$machine" ] || { kill "$machine" 2>/dev/null && wait "$machine" || true; }
    rm -rf "$work"
}
trap clean_up EXIT
trap 'echo "it took too long, or was ended"; exit 1' INT TERM

main() {
    check_restrictions
    boot
    install_it
    check_function
    queue_calls
    upgrade
    check_calls
    check_removal
    [ "$failed" = 0 ]
}

check() {
    what=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        echo "ok      $what"
    else
        echo "failed  $what" && tail -20 "$work/output" | sed 's/^/        /'
        failed=1
    fi
}

# Runs a command in the machine.
inside() { nsenter -t "$leader" -m -u -i -n -p -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root SKEP_DATA_DIR=/var/lib/skep "$@"; }
in_shell() { inside sh -euc "$1"; }

# Waits at most two minutes for a command to succeed in the machine.
wait_for() {
    for _ in $(seq 240); do
        ! in_shell "$1" >"$work/waited" 2>&1 || return 0
        sleep 0.5
    done
    echo "waited in vain for: $1" && cat "$work/waited" && inside journalctl --no-pager -u skep -n 20
    return 1
}

check_restrictions() {
    check "the service's exposure is below 3.0" \
        systemd-analyze security --offline=true --threshold=30 --no-pager deploy/package/skep.service
}

boot() {
    if [ ! -d "$base" ]; then
        echo "installing Debian into $base, once" >&2
        rm -rf "$base.new"
        mkdir -p "${base%/*}"
        debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,curl,procps bookworm "$base.new" >"$work/debootstrap" 2>&1 ||
            { tail -20 "$work/debootstrap"; exit 1; }
        mv "$base.new" "$base"
    fi
    cp -a "$base" "$work/root"
    cp "$first" "$work/root/first.deb"
    cp "$second" "$work/root/second.deb"
    # Its network is its own, so its ports are free.
    systemd-nspawn --quiet --keep-unit --register=no --private-network --machine="skep-deb-$$" \
        --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
        -b -D "$work/root" >"$work/console" 2>&1 </dev/null &
    machine=$!
    for _ in $(seq 120); do
        leader=$(pgrep -P "$machine" || true)
        [ -z "$leader" ] || ! inside systemctl is-active --quiet multi-user.target || return 0
        sleep 0.5
    done
    echo "the machine does not boot:" && tail -20 "$work/console" && exit 1
}

install_it() {
    check "the package installs" inside dpkg -i /first.deb
    check "the service becomes ready" wait_for 'curl -sf http://127.0.0.1:8080/healthz'
    check "it runs as user skep" in_shell 'pgrep -u skep -x skep && ! pgrep -u root -x skep'
    check "its data is for that user alone" in_shell '[ "$(stat -c %a:%U /var/lib/skep)" = 700:skep ]'
    check "the password is for that user alone" in_shell '[ "$(stat -c %a:%U /var/lib/skep/auth/basic-auth-password)" = 600:skep ]'
    check "deploying asks for the password" in_shell '[ "$(curl -s -o /dev/null -w "%{http_code}" http://127.0.0.1:8080/system/functions)" = 401 ]'
    check "the restrictions of functions are complete" in_shell '! journalctl -u skep | grep "weaker sandbox"'
    check "the manual and completions are there" \
        in_shell 'test -s /usr/share/man/man1/skep-up.1.gz && test -s /usr/share/bash-completion/completions/skep'
}

check_function() {
    check "a function deploys and answers" in_shell 'skep deploy upper --command "tr a-z A-Z" && [ "$(echo shout | skep invoke upper)" = SHOUT ]'
    # The user is skep, who owns the password.
    in_shell 'skep deploy thief --command "sh -c \"cat /var/lib/skep/auth/basic-auth-password 2>&1; kill -0 1 2>&1; echo done\""' >/dev/null
    check "a function cannot read skep's files" in_shell 'read=$(skep invoke thief); echo "$read"; case $read in *"No such file"*done) ;; *) exit 1 ;; esac'
}

# The calls wait for a gate, so that calls are left for the new version however fast this machine is.
queue_calls() {
    gate='until curl -sf -o /dev/null http://127.0.0.1:8080/function/gate; do sleep 0.2; done; cat'
    in_shell "skep deploy slow --command 'sh -c \"$gate\"' --env max_inflight=1" >/dev/null
    open_gate
    queue 1 3
    check "calls are done before the upgrade" wait_for "skep calls result call-3"
    in_shell 'skep remove gate' >/dev/null
    queue 4 $calls
    inside sed -i 's/^#SKEP_FILE=.*/SKEP_RESULT_TTL=25h/' /etc/skep/skep.env
}

open_gate() { in_shell 'skep deploy gate --command true' >/dev/null; }

queue() {
    in_shell "for i in \$(seq $1 $2); do curl -sf -d \$i -H \"X-Call-Id: call-\$i\" http://127.0.0.1:8080/async-function/slow -o /dev/null || exit 1; done"
}

upgrade() {
    before=$(inside systemctl show -p MainPID --value skep)
    check "the package upgrades" inside dpkg -i /second.deb
    check "the service becomes ready again" wait_for 'curl -sf http://127.0.0.1:8080/healthz'
    check "it is another process" [ "$before" != "$(inside systemctl show -p MainPID --value skep)" ]
    check "changed settings stay" inside grep -q '^SKEP_RESULT_TTL=25h' /etc/skep/skep.env
}

check_calls() {
    check "calls were left for the new version" in_shell "[ \"\$(curl -s -o /dev/null -w '%{http_code}' \
        -u admin:\$(cat /var/lib/skep/auth/basic-auth-password) http://127.0.0.1:8080/system/calls/call-4/result)\" = 202 ]"
    open_gate
    check "each of $calls calls has its answer" \
        wait_for "for i in \$(seq $calls); do [ \"\$(skep calls result call-\$i)\" = \$i ] || exit 1; done"
    check "the audit adds up" inside skep audit
}

check_removal() {
    check "removing it ends all of it" in_shell 'dpkg -r skep && ! pgrep -u skep'
    check "its data and settings stay" in_shell 'test -d /var/lib/skep/nats && test -f /etc/skep/skep.env'
    check "purging removes them" in_shell 'dpkg -P skep; for path in /var/lib/skep /etc/skep /usr/lib/skep; do [ ! -e $path ]; done'
}

main
