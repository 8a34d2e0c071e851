#!/bin/sh
# Checks that crates use only what stands below them (ARCHITECTURE.md, "Layers").
set -eu
cd "$(dirname "$0")/.."

failed=0
check() {
    crate=$1 manifest=$2
    shift 2
    used=$(sed -n 's/^\(skep-[a-z-]*\)[. ].*/\1/p' "$manifest")
    for dependency in $used; do
        case " $* " in
        *" $dependency "*) ;;
        *) echo "$manifest: $crate must not use $dependency" >&2; failed=1 ;;
        esac
    done
}

check skep-backoff crates/backoff/Cargo.toml
check skep-protocol crates/protocol/Cargo.toml
check skep-process crates/process/Cargo.toml
check skep-sandbox crates/sandbox/Cargo.toml
check skep-secret-file crates/secret-file/Cargo.toml
check skep-http crates/http/Cargo.toml
check skep-https crates/https/Cargo.toml
check skep-sources crates/sources/Cargo.toml skep-protocol
check skep-stack crates/stack/Cargo.toml skep-protocol skep-sources
check skep-bus crates/bus/Cargo.toml skep-backoff skep-https skep-protocol
check skep-own-events crates/own-events/Cargo.toml skep-bus skep-protocol skep-sources
check skep-dispatch crates/dispatch/Cargo.toml skep-backoff skep-bus skep-http skep-protocol
check skep-provider crates/provider/Cargo.toml skep-backoff skep-bus skep-http skep-process skep-protocol
check skep-controller crates/controller/Cargo.toml skep-backoff skep-bus skep-own-events skep-protocol skep-provider skep-sources
check skep-watchdog watchdog/Cargo.toml skep-backoff skep-http skep-process skep-protocol skep-sandbox
check skep-gateway gateway/Cargo.toml skep-backoff skep-bus skep-dispatch skep-http skep-own-events skep-protocol skep-secret-file skep-sources
check skep-queue-worker queue-worker/Cargo.toml skep-backoff skep-bus skep-dispatch skep-https skep-own-events skep-protocol skep-sources
check skep-cli cli/Cargo.toml skep-backoff skep-bus skep-controller skep-dispatch skep-gateway skep-http skep-https skep-process skep-protocol skep-provider skep-queue-worker skep-secret-file skep-sources skep-stack skep-watchdog

# Only the bus speaks NATS, and only the watchdog and the provider start processes.
if grep -ln '^async-nats' crates/*/Cargo.toml gateway/Cargo.toml queue-worker/Cargo.toml watchdog/Cargo.toml cli/Cargo.toml | grep -v '^crates/bus/'; then
    echo "only crates/bus may use async-nats" >&2
    failed=1
fi
# Each role gets the handles of the bus that it may have; only the program that wires them has all.
if grep -rlPz 'skep_bus::(\{[^}]*)?\bBus\b' gateway/src queue-worker/src crates/controller/src crates/dispatch/src crates/provider/src; then
    echo "only cli may use skep_bus::Bus" >&2
    failed=1
fi
exit $failed
