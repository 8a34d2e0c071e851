#!/bin/sh
# Builds fwatchdog as one static file, which runs in any image of this architecture, and prints its path: static-watchdog.sh [dev], which is not optimized and sooner there.
set -eu
cd "$(dirname "$0")/.."

case ${1:-release} in
    release) profile=release folder=release ;;
    dev) profile=dev folder=debug ;;
    *) echo "static-watchdog.sh [dev]" >&2; exit 2 ;;
esac

# A target that is named keeps the flags away from build scripts and procedural macros.
target=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-C target-feature=+crt-static" CARGO_PROFILE_RELEASE_STRIP=symbols \
    "${CARGO:-cargo}" build --profile $profile --locked -p skep-watchdog --target "$target" >&2
echo "$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/$target/$folder/fwatchdog"
