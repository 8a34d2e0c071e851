//! The figures, by the names that other runs and issues know them by.

mod accept;
mod cold;
mod connections;
mod cost;
mod density;
mod drain;
mod fair;
mod fork;
mod growth;
mod hook;
mod http;
mod idle;
mod many;
mod overload;
mod prefork;
mod queued;
mod schedules;
mod start;
mod stream;
mod sync;
mod topic;
mod traced;

use anyhow::Result;

use crate::{bench::Bench, measure::Row, platform::Disk};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    SyncLatency,
    SyncRate,
    SyncTail,
    SyncTraced,
    SyncTracedAll,
    EndToEnd,
    Growth,
    ForkLatency,
    ForkRate,
    ForkSandboxed,
    PreforkLatency,
    PreforkPython,
    StreamRate,
    LargeBody,
    HttpRate,
    AcceptLatency,
    AcceptRate,
    AcceptSyncedRate,
    DrainRate,
    DrainSyncedRate,
    ManyFunctions,
    HookLatency,
    HookRate,
    HookFanout,
    HookVerify,
    TopicRate,
    ScheduledStart,
    ScheduledIdle,
    QueuedLatency,
    CostForked,
    CostHttp,
    VictimDelay,
    Overload,
    ColdStart,
    FirstCall,
    IdleMemory,
    IdleConnection,
    Density,
}

impl Figure {
    pub(crate) const ALL: [Self; 38] = [
        Self::SyncLatency,
        Self::SyncRate,
        Self::SyncTail,
        Self::SyncTraced,
        Self::SyncTracedAll,
        Self::EndToEnd,
        Self::Growth,
        Self::ForkLatency,
        Self::ForkRate,
        Self::ForkSandboxed,
        Self::PreforkLatency,
        Self::PreforkPython,
        Self::StreamRate,
        Self::LargeBody,
        Self::HttpRate,
        Self::AcceptLatency,
        Self::AcceptRate,
        Self::AcceptSyncedRate,
        Self::DrainRate,
        Self::DrainSyncedRate,
        Self::ManyFunctions,
        Self::HookLatency,
        Self::HookRate,
        Self::HookFanout,
        Self::HookVerify,
        Self::TopicRate,
        Self::ScheduledStart,
        Self::ScheduledIdle,
        Self::QueuedLatency,
        Self::CostForked,
        Self::CostHttp,
        Self::VictimDelay,
        Self::Overload,
        Self::ColdStart,
        Self::FirstCall,
        Self::IdleMemory,
        Self::IdleConnection,
        Self::Density,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SyncLatency => "sync_c1_p50_us",
            Self::SyncRate => "sync_c64_rps",
            Self::SyncTail => "sync_c64_p99_us",
            Self::SyncTraced => "sync_c64_traced_rps",
            Self::SyncTracedAll => "sync_c64_traced_all_rps",
            Self::EndToEnd => "sync_end_to_end_http_c16_rps",
            Self::Growth => "sync_10k_functions_rps",
            Self::ForkLatency => "fork_c1_p50_us",
            Self::ForkRate => "fork_c16_rps",
            Self::ForkSandboxed => "fork_sandboxed_c1_p50_us",
            Self::PreforkLatency => "prefork_c1_p50_us",
            Self::PreforkPython => "prefork_python_p50_us",
            Self::StreamRate => "stream_mb_s",
            Self::LargeBody => "body_64mib_mb_s",
            Self::HttpRate => "http_c16_rps",
            Self::AcceptLatency => "accept_c1_p50_us",
            Self::AcceptRate => "accept_c64_rps",
            Self::AcceptSyncedRate => "accept_fsync_c64_rps",
            Self::DrainRate => "drain_rps",
            Self::DrainSyncedRate => "drain_fsync_rps",
            Self::ManyFunctions => "accept_10k_functions_rps",
            Self::HookLatency => "hook_accept_c1_p50_us",
            Self::HookRate => "hook_accept_c64_rps",
            Self::HookFanout => "hook_fanout_3_rps",
            Self::HookVerify => "hook_verify_10k_us",
            Self::TopicRate => "topic_events_rps",
            Self::ScheduledStart => "schedule_10k_start_s",
            Self::ScheduledIdle => "schedule_10k_idle_cpu_percent",
            Self::QueuedLatency => "async_started_p50_us",
            Self::CostForked => "cost_per_million_of_10k",
            Self::CostHttp => "cost_per_million_http_of_10k",
            Self::VictimDelay => "victim_p99_ratio",
            Self::Overload => "overload_goodput_rps",
            Self::ColdStart => "cold_start_ms",
            Self::FirstCall => "up_first_call_ms",
            Self::IdleMemory => "idle_rss_mb",
            Self::IdleConnection => "idle_connection_kb",
            Self::Density => "density_sleeping_mb",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|figure| figure.name() == text);
        found.ok_or_else(|| format!("the figures are {}", Self::ALL.map(Self::name).join(", ")))
    }

    pub(crate) async fn measure(self, bench: &Bench) -> Result<Vec<Row>> {
        let name = self.name();
        match self {
            Self::SyncLatency => Box::pin(sync::latency(bench, name)).await,
            Self::SyncRate => Box::pin(sync::rate(bench, name)).await,
            Self::SyncTail => Box::pin(sync::tail(bench, name)).await,
            Self::SyncTraced => Box::pin(traced::usual(bench, name)).await,
            Self::SyncTracedAll => Box::pin(traced::all(bench, name)).await,
            Self::EndToEnd => Box::pin(sync::end_to_end(bench, name)).await,
            Self::Growth => Box::pin(growth::rates(bench, name)).await,
            Self::ForkLatency => Box::pin(fork::latency(bench, name)).await,
            Self::ForkRate => Box::pin(fork::rate(bench, name)).await,
            Self::ForkSandboxed => Box::pin(fork::sandboxed(bench, name)).await,
            Self::PreforkLatency => Box::pin(prefork::cat(bench, name)).await,
            Self::PreforkPython => Box::pin(prefork::python(bench, name)).await,
            Self::StreamRate => Box::pin(stream::rate(bench, name)).await,
            Self::LargeBody => Box::pin(stream::through_gateway(bench, name)).await,
            Self::HttpRate => Box::pin(http::rate(bench, name)).await,
            Self::AcceptLatency => Box::pin(accept::latency(bench, name)).await,
            Self::AcceptRate => Box::pin(accept::rate(bench, name, Disk::Cached)).await,
            Self::AcceptSyncedRate => Box::pin(accept::rate(bench, name, Disk::Synced)).await,
            Self::DrainRate => Box::pin(drain::rate(bench, name, Disk::Cached)).await,
            Self::DrainSyncedRate => Box::pin(drain::rate(bench, name, Disk::Synced)).await,
            Self::ManyFunctions => Box::pin(many::functions(bench, name)).await,
            Self::HookLatency => Box::pin(hook::latency(bench, name)).await,
            Self::HookRate => Box::pin(hook::rate(bench, name)).await,
            Self::HookFanout => Box::pin(hook::fanout(bench, name)).await,
            Self::HookVerify => Box::pin(hook::verification(bench, name)).await,
            Self::TopicRate => Box::pin(topic::rate(bench, name)).await,
            Self::ScheduledStart => Box::pin(schedules::start(bench, name)).await,
            Self::ScheduledIdle => Box::pin(schedules::idle(bench, name)).await,
            Self::QueuedLatency => Box::pin(queued::latency(bench)).await,
            Self::CostForked => Box::pin(cost::forked(bench, name)).await,
            Self::CostHttp => Box::pin(cost::http(bench, name)).await,
            Self::VictimDelay => Box::pin(fair::victim(bench, name)).await,
            Self::Overload => Box::pin(overload::goodput(bench, name)).await,
            Self::ColdStart => Box::pin(cold::start(bench, name)).await,
            Self::FirstCall => Box::pin(start::first_call(bench, name)).await,
            Self::IdleMemory => Box::pin(idle::memory(bench, name)).await,
            Self::IdleConnection => Box::pin(connections::memory(bench, name)).await,
            Self::Density => Box::pin(density::figures(bench, name)).await,
        }
    }
}
