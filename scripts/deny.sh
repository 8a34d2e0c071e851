#!/bin/sh
# Checks the crates that skep is built from: their licences, their sources, what is banned, and known vulnerabilities (deny.toml).
set -eu
cd "$(dirname "$0")/.."

# It runs for seconds, so it is not optimized.
deny=$(sh scripts/cargo-tool.sh cargo-deny 0.20.2 --debug)
"$deny" --log-level error --locked check licenses bans sources

# The database of advisories is a git repository, which not every machine can reach.
if "$deny" --log-level off --locked fetch db 2>/dev/null; then
    "$deny" --log-level error --locked check advisories
else
    echo "the advisory database cannot be reached from here: known vulnerabilities were not looked for" >&2
fi
