#!/bin/sh
# Whether Docker engines of tests can run here; if not, it prints why.
not() { echo "Docker engines of the tests' own cannot run here ($1)"; exit 1; }

[ "$(uname -s)" = Linux ] || not "only Linux has namespaces"
[ "$(id -u)" = 0 ] || not "only root may make namespaces"
for program in dockerd containerd docker ip iptables unshare nsenter setpriv wget; do
    command -v "$program" >/dev/null || not "$program is missing"
done
unshare --net --mount --pid --uts --ipc --fork --mount-proc mount -t tmpfs tmpfs /run 2>/dev/null || not "namespaces are refused"
