#!/usr/bin/env python3
"""Writes the dashboards for Grafana in deploy/grafana/dashboards: make dashboards.

With --check it changes nothing, and fails if a file is not as it would be written.
Each expression is run by a test against a Prometheus that scrapes skep (tests/e2e/with_prometheus).
"""

import json
import pathlib
import sys

from grafana_panels import FUNCTIONS, dashboard, panel, quantile, rate, row, stat

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "deploy/grafana/dashboards"

def overview():
    calls = "gateway_function_invocation_total"
    failed = f'{FUNCTIONS},code=~"5.."'
    return [
        stat("Calls", rate(calls, FUNCTIONS), "reqps"),
        stat(
            "Failed",
            f"({rate(calls, failed)} or vector(0)) / {rate(calls, FUNCTIONS)}",
            "percentunit",
            steps=[(0.001, "orange"), (0.01, "red")],
        ),
        stat("p99", quantile(0.99, "gateway_functions_seconds", FUNCTIONS), "s"),
        stat("Calls that wait", f"sum(max by (function_name) (queue_worker_pending_messages{{{FUNCTIONS}}}))"),
        stat("Dead letters", f'sum(skep_dead_letters{{function_name=~"$function|"}}) or vector(0)', steps=[(1, "orange")]),
        stat(
            "Functions without a replica",
            f"count(max by (function_name) (gateway_service_ready_count{{{FUNCTIONS}}}) == 0"
            f" and max by (function_name) (gateway_service_count{{{FUNCTIONS}}}) > 0) or vector(0)",
            steps=[(1, "red")],
        ),
        panel("Calls by function", [(rate(calls, FUNCTIONS, "function_name"), "{{function_name}}")], "reqps"),
        panel(
            "Failed calls by function",
            [(rate(calls, failed, "function_name"), "{{function_name}}")],
            "reqps",
            about="Calls that ended with 500 or more.",
        ),
        panel(
            "p99 by function",
            [(quantile(0.99, "gateway_functions_seconds", FUNCTIONS, "function_name"), "{{function_name}}")],
            "s",
        ),
        panel(
            "In flight",
            [(f"sum by (function_name) (gateway_function_invocation_inflight{{{FUNCTIONS}}})", "{{function_name}}")],
            about="Those that wait for a replica are among them.",
        ),
        panel(
            "Replicas",
            [(f"max by (function_name) (gateway_service_ready_count{{{FUNCTIONS}}})", "{{function_name}}")],
        ),
        panel(
            "Calls that wait, by function",
            [(f"max by (function_name) (queue_worker_pending_messages{{{FUNCTIONS}}})", "{{function_name}}")],
        ),
        panel(
            "Functions",
            [
                (f"max by (function_name) (gateway_service_ready_count{{{FUNCTIONS}}})", "ready"),
                (f"max by (function_name) (gateway_service_count{{{FUNCTIONS}}})", "wanted"),
                (rate(calls, FUNCTIONS, "function_name"), "calls a second"),
            ],
            kind="table",
            width=24,
        ),
    ]


def function():
    seconds = "gateway_functions_seconds"
    return [
        stat("Calls", rate("gateway_function_invocation_total", FUNCTIONS), "reqps"),
        stat("p50", quantile(0.5, seconds, FUNCTIONS), "s"),
        stat("p99", quantile(0.99, seconds, FUNCTIONS), "s"),
        stat("Ready", f"max(gateway_service_ready_count{{{FUNCTIONS}}})"),
        stat("In flight", f"sum(gateway_function_invocation_inflight{{{FUNCTIONS}}})"),
        stat("Dead letters", f"sum(skep_dead_letters{{{FUNCTIONS}}}) or vector(0)", steps=[(1, "orange")]),
        panel("Calls by status", [(rate("gateway_function_invocation_total", FUNCTIONS, "code"), "{{code}}")], "reqps", stack=True),
        panel(
            "How long calls take",
            [(quantile(share, seconds, FUNCTIONS), f"p{share * 100:g}") for share in (0.5, 0.9, 0.99)],
            "s",
        ),
        panel("Spread", [(rate(f"{seconds}_bucket", FUNCTIONS, "le"), "{{le}}")], "s", "heatmap"),
        panel(
            "Replicas",
            [
                (f"max(gateway_service_ready_count{{{FUNCTIONS}}})", "ready"),
                (f"max(gateway_service_count{{{FUNCTIONS}}})", "wanted"),
                (f"max(gateway_service_min{{{FUNCTIONS}}})", "min"),
                (f"max(gateway_service_max{{{FUNCTIONS}}})", "max"),
            ],
        ),
        panel(
            "Cold starts",
            [
                (rate("skep_cold_start_seconds_count", FUNCTIONS), "a second"),
                (quantile(0.9, "skep_cold_start_seconds", FUNCTIONS), "p90 in seconds"),
            ],
            about="Synchronous calls that waited for the first replica.",
        ),
        panel(
            "Synchronous and queued",
            [
                (f"sum(gateway_function_invocation_inflight{{{FUNCTIONS}}})", "in flight"),
                (f"sum(queue_worker_function_invocation_inflight{{{FUNCTIONS}}})", "of them from the queue"),
            ],
        ),
        panel(
            "Wait in the queue",
            [(quantile(share, "skep_queue_wait_seconds", FUNCTIONS), f"p{share * 100:g}") for share in (0.5, 0.9, 0.99)]
            + [(f"max(gateway_queue_age_seconds{{{FUNCTIONS}}})", "the first one that waits")],
            "s",
        ),
        panel(
            "Calls that wait",
            [(f"max(queue_worker_pending_messages{{{FUNCTIONS}}})", "waiting")],
        ),
        panel(
            "How queued calls end",
            [
                (rate("queue_worker_messages_processed_total", FUNCTIONS, "state"), "{{state}}"),
                (rate("queue_worker_retries_total", FUNCTIONS), "another attempt"),
            ],
            "reqps",
        ),
    ]


def queue():
    attempts = "skep_callback_attempts_total"
    return [
        row("Queue"),
        stat("Calls that wait", "sum(max by (function_name) (queue_worker_pending_messages))"),
        stat("The first one waits for", "max(gateway_queue_age_seconds)", "s", steps=[(60, "orange")]),
        stat("Ended", rate("queue_worker_messages_processed_total"), "reqps"),
        stat("Dead letters", "sum(skep_dead_letters) or vector(0)", steps=[(1, "orange")]),
        stat("Callbacks that wait", "sum(skep_callbacks_waiting)"),
        stat("The oldest waits for", "max(skep_callback_oldest_seconds)", "s", steps=[(3600, "orange")]),
        panel("Waiting", [("max by (function_name) (queue_worker_pending_messages)", "{{function_name}}")]),
        panel("For how long the first one waits", [("max by (function_name) (gateway_queue_age_seconds)", "{{function_name}}")], "s"),
        panel(
            "Wait until the first attempt, p99",
            [(quantile(0.99, "skep_queue_wait_seconds", by="function_name"), "{{function_name}}")],
            "s",
        ),
        panel("Ended, by state", [(rate("queue_worker_messages_processed_total", by="state"), "{{state}}")], "reqps", stack=True),
        panel("Retries", [(rate("queue_worker_retries_total", by="function_name"), "{{function_name}}")], "reqps"),
        panel("Running", [("sum by (function_name) (queue_worker_function_invocation_inflight)", "{{function_name}}")]),
        panel(
            "Room in the queue",
            [("max(skep_queue_bytes)", "taken"), ("max(skep_queue_limit_bytes)", "beyond it, calls are refused")],
            "bytes",
        ),
        row("Dead letters and callbacks"),
        panel("Dead letters", [("max by (function_name, kind) (skep_dead_letters)", "{{function_name}} {{kind}}")]),
        panel("New dead letters", [(rate("skep_dead_letters_total", by="function_name, kind"), "{{function_name}} {{kind}}")], "reqps"),
        panel("Tries to deliver callbacks", [(rate(attempts, by="outcome, reason"), "{{outcome}} {{reason}}")], "reqps"),
        panel("Callbacks that ended", [(rate("queue_worker_callbacks_total", by="outcome"), "{{outcome}}")], "reqps"),
        row("Events and schedules"),
        panel("Webhooks", [(rate("gateway_source_events_total", by="source, outcome"), "{{source}} {{outcome}}")], "reqps"),
        panel("Messages", [(rate("queue_worker_source_messages_total", by="source, outcome"), "{{source}} {{outcome}}")], "reqps"),
        panel(
            "Until the calls of an event are stored, p99",
            [(quantile(0.99, "queue_worker_route_age_seconds"), "p99")],
            "s",
        ),
        panel("Calls of schedules", [(rate("queue_worker_schedule_calls_total", by="source, outcome"), "{{source}} {{outcome}}")], "reqps"),
        panel("Lateness of schedules, p90", [(quantile(0.9, "queue_worker_schedule_lateness_seconds"), "p90")], "s"),
        panel("Programs of sources", [("max by (source) (controller_source_program_up)", "{{source}}")]),
    ]


def platform():
    return [
        stat("NATS", "min(skep_nats_connected)", about="1 if every role is connected."),
        stat("Controller seen", "min(skep_controller_seen_seconds)", "s", steps=[(10, "orange"), (30, "red")]),
        stat("Not accounted for", "max(controller_audit_findings)", steps=[(1, "red")]),
        stat("Last audit", "time() - max(controller_audit_timestamp_seconds)", "s"),
        stat("Disk free", "min(skep_disk_free_bytes / skep_disk_bytes)", "percentunit"),
        stat("Certificate", "min(skep_tls_not_after_seconds) - time()", "s", about="Until the certificate of the gateway runs out."),
        panel(
            "Roles",
            [
                ("max by (job, instance) (up)", "{{job}} {{instance}}"),
                ("max by (role, instance) (skep_nats_connected)", "{{role}} at NATS, {{instance}}"),
            ],
        ),
        panel("Connections that were made again", [("sum by (role) (increase(gateway_nats_reconnect_total[$__rate_interval]))", "{{role}}")]),
        panel("Durability of accepted calls", [("max by (role, tier) (skep_durability_info)", "{{role}}: {{tier}}")]),
        panel("Streams", [("max by (stream) (skep_stream_bytes)", "{{stream}}")], "bytes"),
        panel(
            "Streams that refuse more when they are full",
            [
                (
                    'max by (stream) (skep_stream_bytes) / max by (stream) (skep_stream_limit_bytes{when_full="refuses"})',
                    "{{stream}}",
                )
            ],
            "percentunit",
        ),
        panel("Messages in streams", [("max by (stream) (skep_stream_messages)", "{{stream}}")]),
        panel("Requests of the system API", [(rate("http_requests_total", by="method, path, status"), "{{method}} {{path}} {{status}}")], "reqps"),
        panel("How long they take, p99", [(quantile(0.99, "http_request_duration_seconds", by="path"), "{{path}}")], "s"),
        panel(
            "Refused",
            [
                (rate("gateway_login_failures_total", by="outcome"), "login {{outcome}}"),
                (rate("gateway_rate_limited_requests_total"), "too many of one address"),
            ],
            "reqps",
        ),
        panel("The clock of NATS is ahead by", [("max by (instance) (skep_nats_clock_ahead_seconds)", "{{instance}}")], "s"),
        panel("Disk", [("skep_disk_free_bytes", "free, {{instance}}"), ("skep_disk_bytes", "all, {{instance}}")], "bytes"),
        panel("Versions", [("count by (version, commit) (skep_build_info)", "{{version}} {{commit}}")]),
    ]


ALL = [
    dashboard("overview", "skep: overview", "All functions at a glance.", overview(), "all"),
    dashboard("function", "skep: one function", "One function in detail.", function(), "one"),
    dashboard("queue", "skep: queue and delivery", "Queued calls, dead letters, callbacks, events and schedules.", queue()),
    dashboard("platform", "skep: platform", "NATS, the controller, streams and budgets.", platform()),
]


def main():
    stale = []
    for one in ALL:
        file, text = FOLDER / f"{one['uid']}.json", json.dumps(one, indent=1) + "\n"
        if "--check" in sys.argv[1:]:
            if not file.exists() or file.read_text() != text:
                stale.append(file.name)
        else:
            FOLDER.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    if stale:
        sys.exit(f"not as scripts/dashboards.py writes it: {', '.join(stale)}; run make dashboards")


if __name__ == "__main__":
    main()
