#!/bin/sh
# Builds skep and fwatchdog twice: to count what runs while the benches call functions, and again with what was counted.
# It takes about three times as long as a release build, and always begins anew, for cargo does not see that counts have changed.
set -eu
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
merge=$(rustc --print target-libdir)/../bin/llvm-profdata
[ -x "$merge" ] || { echo "llvm-profdata of this Rust is missing: rustup component add llvm-tools" >&2; exit 1; }
nats=$(sh scripts/nats-server.sh)
mkdir -p "${CARGO_TARGET_DIR:-target}"
folder=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/pgo
rm -rf "$folder"
mkdir -p "$folder/counting"

# A target that is named keeps the flags away from build scripts and procedural macros.
target=$(rustc -vV | sed -n 's/^host: //p')
build() {
    RUSTFLAGS=$1 "$cargo" build --release --locked -p skep-cli -p skep-watchdog --target "$target" --target-dir "$folder/build"
    cp "$folder/build/$target/release/skep" "$folder/build/$target/release/fwatchdog" "$2"
}

build "-Cprofile-generate=$folder/counts" "$folder/counting"
"$cargo" run --release --locked -p skep-benches -- --programs "$folder/counting" --nats-server "$nats" \
    --json "$folder/counting/bench.json" --runs 1 --only sync_c1_p50_us --only sync_c64_rps --only sync_end_to_end_http_c16_rps \
    --only fork_c16_rps --only stream_mb_s --only accept_c64_rps --only drain_rps
"$merge" merge -o "$folder/counted" "$folder/counts"
build "-Cprofile-use=$folder/counted" "$folder"
echo "skep and fwatchdog are in $folder"
