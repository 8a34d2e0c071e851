#!/bin/sh
# Prints the folder of programs of others that tests on a Swarm run: Prometheus, its Alertmanager, and a registry of images.
# They are Debian's, fetched once into the cache folder and not installed. If they cannot be had, it prints why.
set -eu
programs="prometheus prometheus-alertmanager docker-registry"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/skep/programs
not() { echo "$programs cannot be fetched ($1)"; exit 1; }

all_there() {
    for program in $programs; do [ -x "$cache/$program" ] || return 1; done
}

fetch() {
    # shellcheck disable=SC2086
    apt-get -qq download $programs >&2
}

if ! all_there; then
    for tool in apt-get dpkg-deb; do
        command -v $tool >/dev/null || not "$tool is missing"
    done
    echo "fetching $programs into $cache" >&2
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    # The lists of packages may be old, or not be there yet.
    fetch 2>/dev/null || { apt-get -qq update >&2 && fetch; } || not "apt-get does not find them"
    for package in *.deb; do dpkg-deb -x "$package" .; done
    # Alertmanager has its templates in files here.
    mv -f usr/share/prometheus/alertmanager/*.tmpl "$cache"
    for program in $programs; do mv -f "usr/bin/$program" "$cache"; done
fi
echo "$cache"
