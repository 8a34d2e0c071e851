//! The handles on the bus, one for each domain, and which of them each role has.
//!
//! A role has only what it may know, so that the compiler refuses the rest: the gateway has nothing to pull a queue with, and only the controller has [`Leadership`], without which nobody writes the registry.

use std::sync::Arc;

use crate::Connection;

macro_rules! handles {
    ($($(#[$documentation:meta])+ $field:ident: $Handle:ident,)+) => {
        $(
            $(#[$documentation])+
            ///
            /// Cheap to clone.
            #[derive(Clone)]
            pub struct $Handle {
                pub(crate) nats: Arc<Connection>,
            }

            impl $Handle {
                pub(crate) fn over(nats: &Arc<Connection>) -> Self {
                    Self { nats: Arc::clone(nats) }
                }
            }
        )+

        /// All handles, for the program that connects and hands each role its own.
        #[derive(Clone)]
        pub struct Bus {
            pub connection: Arc<Connection>,
            $(pub $field: $Handle,)+
        }

        impl Bus {
            pub(crate) fn over(connection: Arc<Connection>) -> Self {
                Self { $($field: $Handle::over(&connection),)+ connection }
            }
        }
    };
}

handles! {
    /// Calls, as their callers see them: submitting, following, listing and cancelling them, and reading their results.
    calls: Calls,
    /// Requests of synchronous calls over NATS.
    requests: Requests,
    /// The queues that workers pull, and the moves of calls between them.
    queues: Queues,
    /// How much waits in the queues.
    queue_depth: QueueDepth,
    /// How calls end: storing records and dead letters, and what is known of callbacks.
    outcomes: Outcomes,
    /// Work that other services publish.
    inbound: Inbound,
    /// Dead letters: listing, deleting and redriving them.
    dead_letters: DeadLetters,
    /// Large bodies.
    bodies: Bodies,
    /// Images of functions.
    images: Images,
    /// Events of sources, and the requests that a source has refused or holds.
    events: Events,
    /// Sources of events, to be read; the controller writes them with its [`Lease`](crate::Lease).
    sources: Sources,
    /// Messages of other services that are events of sources.
    topics: Topics,
    /// Functions, to be read; the controller writes them with its [`Lease`](crate::Lease).
    registry: Registry,
    /// Versions of functions, to be read; the controller writes them with its [`Lease`](crate::Lease).
    versions: Versions,
    /// Being the controller: taking the lease, and answering control requests.
    leadership: Leadership,
    /// Namespaces, for the controller alone.
    namespaces: Namespaces,
    /// Requests to the controller.
    control: Control,
    /// Which functions are in use, and how much.
    activity: Activity,
    /// What follows from it for each function, and for the installation.
    stats: Stats,
    /// Log lines of functions, as they are written.
    logs: Logs,
    /// What queue-workers send to each other about the calls they hold.
    workers: Workers,
    /// Retention: removing what is finished, orphaned, or beyond its budget.
    housekeeping: Housekeeping,
    /// Checks that each accepted call came to an end.
    audit: Audit,
    /// Who changed what.
    audit_log: AuditLog,
}

macro_rules! roles {
    ($($(#[$documentation:meta])+ $From:ident.$method:ident -> $Role:ident { $($field:ident: $Handle:ident,)+ })+) => {
        $(
            $(#[$documentation])+
            #[derive(Clone)]
            pub struct $Role {
                pub connection: Arc<Connection>,
                $(pub $field: $Handle,)+
            }

            impl $From {
                $(#[$documentation])+
                pub fn $method(&self) -> $Role {
                    $Role { connection: Arc::clone(&self.connection), $($field: self.$field.clone(),)+ }
                }
            }
        )+
    };
}

roles! {
    /// What the gateway may do.
    Bus.for_gateway -> GatewayBus {
        calls: Calls,
        requests: Requests,
        queue_depth: QueueDepth,
        dead_letters: DeadLetters,
        bodies: Bodies,
        images: Images,
        events: Events,
        sources: Sources,
        topics: Topics,
        control: Control,
        stats: Stats,
        logs: Logs,
        audit: Audit,
        audit_log: AuditLog,
    }

    /// What a queue-worker may do.
    Bus.for_queue_worker -> QueueWorkerBus {
        calls: Calls,
        queues: Queues,
        outcomes: Outcomes,
        inbound: Inbound,
        bodies: Bodies,
        events: Events,
        sources: Sources,
        topics: Topics,
        workers: Workers,
    }

    /// What the controller may do.
    Bus.for_controller -> ControllerBus {
        leadership: Leadership,
        registry: Registry,
        versions: Versions,
        images: Images,
        calls: Calls,
        events: Events,
        namespaces: Namespaces,
        sources: Sources,
        topics: Topics,
        queue_depth: QueueDepth,
        activity: Activity,
        stats: Stats,
        logs: Logs,
        housekeeping: Housekeeping,
        audit: Audit,
        audit_log: AuditLog,
    }

    /// What the way to a function needs.
    Bus.for_dispatch -> DispatchBus {
        registry: Registry,
        control: Control,
        activity: Activity,
    }

    /// What a provider may do.
    ControllerBus.for_provider -> ProviderBus {
        registry: Registry,
        logs: Logs,
    }
}
