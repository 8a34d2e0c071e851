#!/bin/sh
# Builds skep and a static fwatchdog of an older commit, not optimized, and prints the folder with them: before.sh COMMIT
set -eu
cd "$(dirname "$0")/.."

commit=$(git rev-parse --verify --quiet "${1:-}^{commit}") || { echo "before.sh COMMIT: there is no commit \"${1:-}\" here" >&2; exit 2; }
mkdir -p "${CARGO_TARGET_DIR:-target}/before"
folder=$(cd "${CARGO_TARGET_DIR:-target}/before" && pwd)
if [ "$(cat "$folder/commit" 2>/dev/null)" != "$commit" ]; then
    rm -rf "$folder/source" "$folder/commit"
    mkdir "$folder/source"
    git archive "$commit" | tar -x -C "$folder/source"
    cd "$folder/source"
    export CARGO_TARGET_DIR="$folder/target"
    "${CARGO:-cargo}" build --locked -p skep-cli >&2
    target=$(rustc -vV | sed -n 's/^host: //p')
    RUSTFLAGS="-C target-feature=+crt-static" "${CARGO:-cargo}" build --locked -p skep-watchdog --target "$target" >&2
    cp "$folder/target/debug/skep" "$folder/target/$target/debug/fwatchdog" "$folder"
    rm -rf "$folder/source"
    echo "$commit" >"$folder/commit"
fi
echo "$folder"
