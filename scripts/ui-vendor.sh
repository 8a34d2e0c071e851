#!/bin/sh
# Fetches the library of the web UI into crates/ui/assets/vendor and checks it. Run by hand only, to renew it.
set -eu
cd "$(dirname "$0")/../crates/ui/assets/vendor"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m pip download --quiet --no-deps --dest "$work" datasette-preact==0.0.1
python3 -m zipfile -e "$work/datasette_preact-0.0.1-py3-none-any.whl" "$work/unpacked"
cp "$work/unpacked/datasette_preact/static/preact-10.27.2-htm-3.1.1.min.js" preact-htm.js
sha256sum --check SOURCES
