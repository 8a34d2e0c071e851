#!/bin/sh
# Builds fwatchdog as one static file, which runs in any image of this architecture, and prints its path.
set -eu
cd "$(dirname "$0")/.."

# A target that is named keeps the flags away from build scripts and procedural macros.
target=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-C target-feature=+crt-static" CARGO_PROFILE_RELEASE_STRIP=symbols \
    "${CARGO:-cargo}" build --release --locked -p skep-watchdog --target "$target" >&2
echo "$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/$target/release/fwatchdog"
