#!/bin/sh
# Checks the modules of the web UI: oxlint and oxfmt (pip install oxlint-bin oxfmt-bin) and the types in their comments (apt-get install node-typescript).
set -eu
cd "$(dirname "$0")/../crates/ui"
oxlint --quiet -c .oxlintrc.json assets
oxfmt -c .oxfmtrc.json --check assets '!assets/vendor' '!assets/css' '!assets/index.html'
# Preact has no types of its own here.
if types=$(tsc -p jsconfig.json | grep -v '^assets/vendor/') && [ -n "$types" ]; then
	echo "$types"
	exit 1
fi
