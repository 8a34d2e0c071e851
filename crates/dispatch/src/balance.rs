//! Which replica takes a call: of two at random, the one with fewer calls in flight.

use std::sync::Arc;

use crate::endpoint::Endpoint;

/// Chooses among the replicas that are in; when all are out, among all, so that a replica that is back is found.
pub(crate) fn choose(endpoints: &[Arc<Endpoint>]) -> Option<&Arc<Endpoint>> {
    match endpoints {
        [] => None,
        [only] => Some(only),
        several => {
            let start = fastrand::usize(..several.len());
            let mut candidates = (0..several.len())
                .filter_map(|step| several.get((start + step) % several.len()))
                .filter(|endpoint| endpoint.is_in());
            let Some(one) = candidates.next() else {
                return several.get(start);
            };
            let skip = fastrand::usize(..several.len() - 1);
            let Some(other) = candidates.clone().nth(skip).or_else(|| candidates.next()) else {
                return Some(one);
            };
            Some(if other.in_flight() < one.in_flight() { other } else { one })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(count: u16) -> Vec<Arc<Endpoint>> {
        (0..count).map(|n| Arc::new(Endpoint::new(format!("f-{n}"), ([127, 0, 0, 1], n).into()))).collect()
    }

    #[test]
    fn a_busy_replica_is_not_chosen_when_another_is_idle() {
        let endpoints = endpoints(2);
        endpoints[0].begin();
        for _ in 0..100 {
            assert_eq!(choose(&endpoints).unwrap().instance, "f-1");
        }
    }

    #[test]
    fn every_replica_gets_calls() {
        let endpoints = endpoints(5);
        for _ in 0..1_000 {
            choose(&endpoints).unwrap().begin();
        }
        for endpoint in &endpoints {
            assert!((150..250).contains(&endpoint.in_flight()), "{}", endpoint.in_flight());
        }
    }

    #[tokio::test]
    async fn a_replica_that_refused_is_passed_over_unless_all_did() {
        let endpoints = endpoints(3);
        endpoints[0].refused();
        endpoints[1].refused();
        for _ in 0..100 {
            assert_eq!(choose(&endpoints).unwrap().instance, "f-2");
        }
        endpoints[2].refused();
        assert!(choose(&endpoints).is_some());
        assert!(choose(&[]).is_none());
    }
}
