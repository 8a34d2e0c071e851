#!/bin/sh
# Installs the collector that tests of spans need, and prints where it is; if that cannot be done, it prints why.
set -u
folder=${1:-target/collector}
found() { ls "$folder"/lib/python3*/site-packages/rotel/rotel-agent 2>/dev/null | head -n 1; }
if [ -z "$(found)" ]; then
    python3 -m venv "$folder" >/dev/null 2>&1 || { echo "a venv of Python cannot be made (apt-get install python3-venv)"; exit 1; }
    "$folder/bin/pip" install -q rotel==0.0.1a15 >/dev/null 2>&1 || { echo "Rotel's agent cannot be installed with pip"; exit 1; }
fi
found
