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

/// Why tasks find no node, and how many, if some do.
pub(super) fn of_pending(tasks: &[Task], current: &Generation) -> Option<String> {
    let is_pending = |task: &&Task| task.is_waited_for() && !task.has_failed() && !task.status.err.is_empty();
    let current = tasks.iter().filter(|task| task.generation() == *current);
    let pending = current.filter(is_pending);
    let count = pending.clone().count();
    let task = newest(pending)?;
    Some(format!("{count} pending: {}", task.status.err))
}

/// How the last task failed, if one did.
pub(super) fn of_failed<'task>(tasks: impl Iterator<Item = &'task Task>) -> Option<String> {
    let failed = newest(tasks.filter(|task| task.has_failed()))?;
    let reason = if failed.status.err.is_empty() { &failed.status.message } else { &failed.status.err };
    Some(match failed.status.state.as_str() {
        "rejected" => format!("a replica could not be started: {reason}"),
        "complete" => format!(
            "a replica ended by itself with exit code {}: an image must start fwatchdog, with CMD [\"fwatchdog\"]",
            failed.status.exit_code()
        ),
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
    fn swarm_s_own_words_are_reported() {
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
    fn tasks_without_a_node_are_counted() {
        let pending = |id: &str, err: &str| {
            let mut task = task(id, "running", "pending", "1");
            task.status.err = err.to_owned();
            task
        };
        let tasks = [pending("a", "no suitable node"), pending("b", ""), pending("c", "no suitable node")];
        let generation = tasks[0].generation();
        assert_eq!(of_pending(&tasks, &generation).as_deref(), Some("2 pending: no suitable node"));
        assert_eq!(of_pending(&tasks[1..2], &generation), None);
    }

    #[test]
    fn a_program_that_ends_well_is_no_server() {
        let ended = check(&[("shutdown", "complete", "", "1")]).unwrap();
        assert!(ended.contains("exit code 0") && ended.contains("fwatchdog"), "{ended}");
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
