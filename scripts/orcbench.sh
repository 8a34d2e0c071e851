#!/bin/sh
# Makes a trace of OrcBench for each seed, calls of functions as they are at a public cloud, and prints their paths.
# usage: orcbench.sh FOLDER SEED…
set -eu
folder=$1
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
python=$folder/venv/bin/python

if ! [ -x "$python" ] || ! "$python" -c "import orcbench" 2>/dev/null; then
    python3 -m venv "$folder/venv"
    "$python" -m pip -q --disable-pip-version-check install orcbench==0.1.4 'numpy<2' click >&2
fi
for seed; do
    trace=$folder/seed-$seed.csv
    if ! [ -s "$trace" ]; then
        "$python" -m orcbench trace --N 5 --scale 0.05 --runtime 10 --seed "$seed" --out "$trace.part" >&2
        mv "$trace.part" "$trace"
    fi
    echo "$trace"
done
