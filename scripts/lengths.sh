#!/bin/sh
# Checks that no source file is longer than 350 lines: a longer one is about more than one thing.
set -eu
cd "$(dirname "$0")/.."

max=350
long=$(git ls-files '*.rs' '*.py' '*.sh' | xargs wc -l | awk -v max=$max '$2 != "total" && $1 > max { print $2 " has " $1 " lines; " max " are allowed" }')
if [ -n "$long" ]; then
    echo "$long" >&2
    exit 1
fi
