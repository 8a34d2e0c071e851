#!/bin/sh
# Writes a software bill of materials (CycloneDX, JSON) of each program into target/sbom.
set -eu
cd "$(dirname "$0")/.."

cyclonedx=$(sh scripts/cargo-tool.sh cargo-cyclonedx 0.5.9)
mkdir -p target/sbom
# It writes one file beside the manifest of each program of the workspace.
"$cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 --describe binaries
mv -f cli/skep_bin.cdx.json target/sbom/skep.cdx.json
mv -f watchdog/fwatchdog_bin.cdx.json target/sbom/fwatchdog.cdx.json
rm -f benches/skep-benches_bin.cdx.json tests/scaling/scaling-sim_bin.cdx.json
ls target/sbom/*.json
