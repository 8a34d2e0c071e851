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
check skep-networks crates/networks/Cargo.toml
check skep-trace crates/trace/Cargo.toml skep-networks
check skep-metrics crates/metrics/Cargo.toml skep-trace
check skep-otlp crates/otlp/Cargo.toml skep-https skep-trace
check skep-ui crates/ui/Cargo.toml
check skep-protocol crates/protocol/Cargo.toml skep-scaling skep-trace
check skep-process crates/process/Cargo.toml
check skep-sandbox crates/sandbox/Cargo.toml
check skep-scaling crates/scaling/Cargo.toml
check skep-secret-file crates/secret-file/Cargo.toml
check skep-http crates/http/Cargo.toml skep-metrics
check skep-https crates/https/Cargo.toml
check skep-sources crates/sources/Cargo.toml skep-networks skep-protocol skep-trace
check skep-stack crates/stack/Cargo.toml skep-protocol skep-sources
check skep-bus crates/bus/Cargo.toml skep-backoff skep-https skep-protocol skep-trace
check skep-own-events crates/own-events/Cargo.toml skep-backoff skep-bus skep-protocol skep-sources skep-trace
check skep-dispatch crates/dispatch/Cargo.toml skep-backoff skep-bus skep-http skep-metrics skep-protocol skep-trace
check skep-provider crates/provider/Cargo.toml skep-backoff skep-bus skep-http skep-https skep-process skep-protocol skep-scaling
check skep-controller crates/controller/Cargo.toml skep-backoff skep-bus skep-own-events skep-protocol skep-provider skep-scaling skep-sources
check skep-watchdog watchdog/Cargo.toml skep-backoff skep-http skep-process skep-protocol skep-sandbox skep-trace
check skep-gateway gateway/Cargo.toml skep-backoff skep-bus skep-dispatch skep-http skep-networks skep-own-events skep-protocol skep-secret-file skep-sources skep-trace skep-ui
check skep-queue-worker queue-worker/Cargo.toml skep-backoff skep-bus skep-dispatch skep-https skep-metrics skep-networks skep-own-events skep-protocol skep-sources skep-trace
check skep-cli cli/Cargo.toml skep-backoff skep-bus skep-controller skep-dispatch skep-gateway skep-http skep-https skep-otlp skep-process skep-protocol skep-provider skep-queue-worker skep-secret-file skep-sources skep-stack skep-trace skep-watchdog

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
