//! Which traces are sampled: the samplers that OpenTelemetry's specification names.

use thiserror::Error;

use crate::{Context, TraceId};

/// How much of what begins here is sampled, unless something else is said.
const USUAL_RATIO: f64 = 0.01;

/// Decides whether the spans of a trace are exported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether the decision of the parent counts, where there is one.
    parent_based: bool,
    root: Root,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Root {
    Always,
    Never,
    /// Trace ids whose last eight bytes are below this, halved.
    Below(u64),
}

/// A sampler that does not exist, or its argument.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidSampler {
    #[error(
        "{0:?} is not one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio"
    )]
    Name(String),
    #[error("{0:?} is not a ratio from 0 to 1, such as 0.01")]
    Ratio(String),
}

impl Default for Sampler {
    /// One in a hundred of the traces that begin here, and of others those that are sampled already.
    fn default() -> Self {
        Self { parent_based: true, root: Root::ratio(USUAL_RATIO) }
    }
}

impl Root {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a ratio is from 0 to 1")]
    fn ratio(ratio: f64) -> Self {
        if ratio >= 1.0 { Self::Always } else { Self::Below((ratio * (1_u64 << 63) as f64) as u64) }
    }
}

impl Sampler {
    /// The sampler that `OTEL_TRACES_SAMPLER` names, with `OTEL_TRACES_SAMPLER_ARG`.
    pub fn named(name: Option<&str>, argument: Option<&str>) -> Result<Self, InvalidSampler> {
        let ratio = || match argument.map(str::trim).filter(|argument| !argument.is_empty()) {
            None => Ok(USUAL_RATIO),
            Some(text) => {
                let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                ratio.ok_or_else(|| InvalidSampler::Ratio(text.to_owned()))
            }
        };
        let name = name.map(str::trim).filter(|name| !name.is_empty()).unwrap_or("parentbased_traceidratio");
        let root = match name.strip_prefix("parentbased_").unwrap_or(name) {
            "always_on" => Root::Always,
            "always_off" => Root::Never,
            "traceidratio" => Root::ratio(ratio()?),
            _ => return Err(InvalidSampler::Name(name.to_owned())),
        };
        Ok(Self { parent_based: name.starts_with("parentbased_"), root })
    }

    /// Whether a new span is sampled: of this parent, or without one of a new trace.
    pub(crate) fn samples(&self, parent: Option<&Context>, trace_id: TraceId) -> bool {
        match (parent, self.root) {
            (Some(parent), _) if self.parent_based => parent.sampled,
            (_, Root::Always) => true,
            (_, Root::Never) => false,
            (_, Root::Below(bound)) => trace_id.low() >> 1 < bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(sampler: Sampler, of: usize) -> usize {
        (0..of).filter(|_| sampler.samples(None, TraceId::generate())).count()
    }

    #[test]
    fn a_ratio_samples_about_as_many_traces() {
        let ratio = |ratio: &str| Sampler::named(Some("traceidratio"), Some(ratio)).unwrap();
        assert_eq!((sampled(ratio("0"), 1000), sampled(ratio("1"), 1000)), (0, 1000));
        let half = sampled(ratio("0.5"), 20_000);
        assert!((9_000..11_000).contains(&half), "{half}");
        let usual = sampled(Sampler::default(), 100_000);
        assert!((500..1_500).contains(&usual), "{usual}");
    }

    #[test]
    fn the_parent_decides_where_it_counts() {
        let parent = |sampled| Context::root(TraceId::generate(), sampled);
        let samples = |name, of: &Context| Sampler::named(Some(name), None).unwrap().samples(Some(of), of.trace_id);
        for name in ["parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"] {
            assert!(samples(name, &parent(true)) && !samples(name, &parent(false)), "{name}");
        }
        assert!(samples("always_on", &parent(false)) && !samples("always_off", &parent(true)));
    }

    #[test]
    fn what_is_no_sampler_is_refused() {
        assert_eq!(Sampler::named(None, None), Ok(Sampler::default()));
        assert_eq!(Sampler::named(Some(" "), Some("")), Ok(Sampler::default()));
        assert!(matches!(Sampler::named(Some("jaeger_remote"), None), Err(InvalidSampler::Name(_))));
        for bad in ["2", "-0.1", "NaN", "half"] {
            assert!(matches!(Sampler::named(None, Some(bad)), Err(InvalidSampler::Ratio(_))), "{bad}");
        }
    }
}
