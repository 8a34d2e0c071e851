//! What was decided, and why.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

use crate::{Kind, seconds};

/// The replicas that a function should have now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    pub want: u32,
    /// What the last seconds call for, before bounds and the down window.
    pub need: u32,
    /// Slots that are held on average.
    pub load: f64,
    /// How long a call holds its slot; zero before one has ended.
    #[serde(with = "seconds")]
    pub occupancy: Duration,
    pub reason: Reason,
}

/// Why this number: the rule that decided last. It is displayed, and serialized, as a clause in words.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// The minimum and the maximum are the same.
    Static,
    /// Only alerts and people change it.
    Alerts,
    /// A person has set the number.
    Held { left: Duration },
    /// An alert has raised the number.
    Raised { left: Duration },
    /// It has no replicas, and no call wants one.
    Asleep,
    /// The minimum is enough.
    Minimum { load: f64 },
    /// The load in slots, and the slots of a replica.
    Load { load: f64, slots: u32 },
    /// The number of calls that wait, the oldest of them since `age`.
    Waiting { calls: f64, age: Duration },
    /// More calls run than there are slots.
    Crowded { calls: f64, slots: u32 },
    /// The number of calls that are due soon.
    Due { calls: f64 },
    /// The mean of the last seconds, in the unit of the kind, over the target of one replica.
    Target { kind: Kind, value: f64, target: f64 },
    /// Fewer are needed, but not for long enough.
    Window { need: u32 },
    /// What is needed is close enough to what there is.
    Deadband { need: u32 },
    /// Most calls fail, quickly.
    Failing { share: f64 },
    /// Something does not report.
    Incomplete { need: u32 },
    /// More are needed than the function may have.
    Maximum { need: u32, max: u32 },
    /// More are needed than there is room for.
    Room { need: u32, why: String },
    /// More are needed, but calls use the processor and the machine has no more cores.
    Cores { need: u32, cores: f64 },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static => f.write_str("the minimum and the maximum are the same"),
            Self::Alerts => f.write_str("scaled by alerts only"),
            Self::Held { left } => write!(f, "set by hand, for another {}", whole(*left)),
            Self::Raised { left } => write!(f, "raised by an alert, for another {}", whole(*left)),
            Self::Asleep => f.write_str("nothing runs or waits"),
            Self::Minimum { load } => write!(f, "a load of {load:.1} slots needs no more than the minimum"),
            Self::Load { load, slots } => write!(f, "a load of {load:.1} slots, {slots} per replica"),
            Self::Waiting { calls, age } => {
                write!(f, "{calls:.0} calls wait, the oldest for {:.1}s", age.as_secs_f64())
            }
            Self::Crowded { calls, slots } => write!(f, "{calls:.0} calls run at once, and there are {slots} slots"),
            Self::Due { calls } => write!(f, "{calls:.0} calls are due soon"),
            Self::Target { kind: Kind::Cpu, value, target } => {
                write!(f, "{value:.0}m of CPU, {target:.0}m per replica")
            }
            Self::Target { kind, value, target } => write!(f, "{value:.1} {}, {target:.1} per replica", unit(*kind)),
            Self::Window { need } => write!(f, "{need} would do, but the last seconds needed more"),
            Self::Deadband { need } => write!(f, "{need} are needed, which is close enough"),
            Self::Failing { share } => {
                write!(f, "{:.0} % of the calls fail quickly, which more replicas do not mend", share * 100.0)
            }
            Self::Incomplete { need } => {
                write!(f, "{need} would do, but a gateway or queue-worker does not report")
            }
            Self::Maximum { need, max } => write!(f, "{need} are needed, and com.openfaas.scale.max is {max}"),
            Self::Room { need, why } => write!(f, "{need} are needed: {why}"),
            Self::Cores { need, cores } => {
                write!(f, "{need} are needed, but calls use the processor, and there are {cores:.0} cores")
            }
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn unit(kind: Kind) -> &'static str {
    match kind {
        Kind::Rps => "calls/s",
        Kind::Queue => "queued calls",
        _ => "calls in flight",
    }
}

/// A rest of time, rounded up to seconds.
fn whole(left: Duration) -> String {
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    match seconds {
        0..120 => format!("{seconds}s"),
        _ => format!("{}m", seconds.div_ceil(60)),
    }
}
