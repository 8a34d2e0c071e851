//! Why a function has fewer replicas than it should: what Swarm reports about its tasks.

use super::task::{Generation, Task};

/// The problem, if there is one. The same problem gives the same text, so that it is written only once.
pub(super) fn of_tasks(tasks: &[Task], current: &Generation, wanted: u64, answering: u64) -> Option<String> {
    if answering >= wanted {
        return None;
    }
    // A task that waits for a node says why; one that is only slow says nothing.
    let waiting = tasks.iter().filter(|task| task.is_waited_for() && !task.has_failed());
    if let Some(task) = newest(waiting.filter(|task| !task.status.err.is_empty())) {
        return Some(format!("a replica is {}: {}", task.status.state, task.status.err));
    }
    of_failed(tasks.iter().filter(|task| task.generation() == *current))
}

/// How the last task failed, if one did.
pub(super) fn of_failed<'task>(tasks: impl Iterator<Item = &'task Task>) -> Option<String> {
    let failed = newest(tasks.filter(|task| task.has_failed()))?;
    let reason = if failed.status.err.is_empty() { &failed.status.message } else { &failed.status.err };
    Some(match failed.status.state.as_str() {
        "rejected" => format!("a replica could not be started: {reason}"),
        "complete" => "a replica ended by itself".to_owned(),
        _ => format!("a replica ended: {reason}; its log may say more"),
    })
}

fn newest<'task>(tasks: impl Iterator<Item = &'task Task>) -> Option<&'task Task> {
    tasks.max_by(|one, other| one.status.timestamp.cmp(&other.status.timestamp))
}

#[cfg(test)]
mod tests {
    use super::{super::task::tests::task, *};

    fn check(tasks: &[(&str, &str, &str, &str)]) -> Option<String> {
        let tasks: Vec<Task> = tasks
            .iter()
            .map(|(desired, state, err, timestamp)| {
                let mut task = task("a", desired, state, "1");
                task.status.err = (*err).to_owned();
                task.status.timestamp = (*timestamp).to_owned();
                task
            })
            .collect();
        of_tasks(&tasks, &task("a", "", "", "1").generation(), 1, 0)
    }

    #[test]
    fn swarm_s_own_words_are_told() {
        let rejected = check(&[("ready", "ready", "", "3"), ("shutdown", "rejected", "No such image: nope:1", "2")]);
        assert_eq!(rejected.as_deref(), Some("a replica could not be started: No such image: nope:1"));
        let nowhere = "no suitable node (scheduling constraints not satisfied on 1 node)";
        let pending = check(&[("running", "pending", nowhere, "1")]);
        assert_eq!(pending, Some(format!("a replica is pending: {nowhere}")));
        let crashed =
            check(&[("shutdown", "failed", "old", "1"), ("shutdown", "failed", "task: non-zero exit (7)", "2")]);
        assert!(crashed.unwrap().starts_with("a replica ended: task: non-zero exit (7);"));
    }

    #[test]
    fn nothing_is_said_while_all_goes_well() {
        assert_eq!(check(&[]), None);
        assert_eq!(check(&[("running", "preparing", "", "1")]), None);
        let failed = task("a", "shutdown", "failed", "old");
        assert_eq!(of_tasks(std::slice::from_ref(&failed), &failed.generation(), 0, 0), None);
        assert_eq!(of_tasks(&[failed], &Generation::default(), 1, 0), None);
    }

    #[test]
    fn a_replica_that_is_tried_again_is_in_trouble_until_it_answers() {
        let again = check(&[("running", "running", "", "2"), ("shutdown", "failed", "task: non-zero exit (1)", "1")]);
        assert!(again.unwrap().contains("non-zero exit (1)"));
    }
}
