//! Decides which tasks get calls during an update.

use skep_protocol::Endpoint;

/// A task whose watchdog answers.
pub(super) struct Candidate {
    pub(super) endpoint: Endpoint,
    /// It has the service's current spec.
    pub(super) is_current: bool,
}

/// The tasks with the current spec if there are enough of them, and otherwise the previous ones too.
///
/// Swarm stops the previous tasks after that, and they get no more calls at that point.
pub(super) fn endpoints(candidates: impl Iterator<Item = Candidate>, wanted: u64) -> Vec<Endpoint> {
    if wanted == 0 {
        return Vec::new();
    }
    let (current, former): (Vec<Candidate>, Vec<Candidate>) = candidates.partition(|candidate| candidate.is_current);
    let is_enough = current.len() as u64 >= wanted;
    let former = former.into_iter().filter(|_| !is_enough);
    let mut chosen: Vec<Endpoint> = current.into_iter().chain(former).map(|candidate| candidate.endpoint).collect();
    chosen.sort_by(|one, other| one.instance.cmp(&other.instance));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tasks by their ids; upper case means the current spec.
    fn check(tasks: &str, wanted: u64) -> String {
        let candidate = |id: char| Candidate {
            endpoint: Endpoint { instance: id.to_string(), address: "10.0.0.1:8080".parse().unwrap() },
            is_current: id.is_uppercase(),
        };
        endpoints(tasks.chars().map(candidate), wanted).into_iter().map(|endpoint| endpoint.instance).collect()
    }

    #[test]
    fn former_tasks_serve_until_there_are_enough_new_ones() {
        assert_eq!(check("ab", 2), "ab");
        assert_eq!(check("aCb", 2), "Cab");
        assert_eq!(check("aCD", 2), "CD");
        assert_eq!(check("AB", 2), "AB");
        assert_eq!(check("AB", 1), "AB");
        assert_eq!(check("Ab", 0), "");
    }
}
