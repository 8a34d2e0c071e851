#!/bin/sh
# Whether a Debian of the test's own can be booted here; if not, it prints why.
not() { echo "A Debian of the tests' own cannot be booted here ($1)"; exit 1; }

[ "$(uname -s)" = Linux ] || not "only Linux has namespaces"
[ "$(id -u)" = 0 ] || not "only root may make namespaces"
for program in debootstrap systemd-nspawn systemd-analyze nsenter dpkg-deb; do
    command -v "$program" >/dev/null || not "$program is missing"
done
