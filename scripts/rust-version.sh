#!/bin/sh
# Checks that the oldest Rust that Cargo.toml promises is enough for every crate that skep is built of.
# Clippy checks the rest: its lint incompatible_msrv knows since when each part of the standard library exists.
set -eu
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}

promised=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
for manifest in $(git ls-files '*Cargo.toml' ':!fuzz'); do
    grep -q '^\[package\]' "$manifest" || continue
    grep -q '^rust-version.workspace = true$' "$manifest" || { echo "$manifest lacks rust-version.workspace = true" >&2; exit 1; }
done

host=$(rustc -vV | sed -n 's/^host: //p')
metadata=$("$cargo" metadata --format-version 1 --locked --filter-platform "$host")
needed=$(echo "$metadata" | grep -o '"rust_version":"[0-9.]*"' |
    cut -d '"' -f 4 | sort -V | tail -1)
newest=$(printf '%s\n%s\n' "$promised" "$needed" | sort -V | tail -1)
# 1.89 and 1.89.0 are the same.
if [ "${newest%.0}" != "${promised%.0}" ]; then
    echo "Cargo.toml promises Rust $promised, and a crate needs $needed" >&2
    exit 1
fi
