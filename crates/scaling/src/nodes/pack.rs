//! How many machines waiting tasks need.

use super::{Pending, Size};

impl Size {
    fn holds(self, task: Self) -> bool {
        self.nano_cpus >= task.nano_cpus && self.memory >= task.memory
    }

    fn without(self, task: Self) -> Self {
        Self {
            nano_cpus: self.nano_cpus.saturating_sub(task.nano_cpus),
            memory: self.memory.saturating_sub(task.memory),
        }
    }

    /// A size of which nothing is known holds anything.
    fn known(self) -> Self {
        let or_all = |part: u64| if part == 0 { u64::MAX } else { part };
        Self { nano_cpus: or_all(self.nano_cpus), memory: or_all(self.memory) }
    }

    /// Whether a machine of this size can run such a task at all.
    pub(super) fn fits(self, task: Self) -> bool {
        self.known().holds(task)
    }
}

/// Machines of this size on which all these tasks run: each task goes to the first machine with room, large tasks first.
///
/// Tasks that are too large for any machine are left out. It counts no further than `most`.
pub fn machines(pending: &[Pending], size: Size, most: u32) -> u32 {
    let size = size.known();
    let mut kinds: Vec<&Pending> = pending.iter().filter(|pending| size.holds(pending.each)).collect();
    kinds.sort_by_key(|pending| std::cmp::Reverse((pending.each.memory, pending.each.nano_cpus)));
    let mut free: Vec<Size> = Vec::new();
    for pending in kinds {
        for _ in 0..pending.tasks {
            let number = match free.iter().position(|free| free.holds(pending.each)) {
                Some(number) => number,
                None if free.len() >= most as usize => return most,
                None => {
                    free.push(size);
                    free.len() - 1
                }
            };
            free[number] = free[number].without(pending.each);
        }
    }
    u32::try_from(free.len()).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(tasks: u32, nano_cpus: u64, memory: u64) -> Pending {
        Pending { tasks, each: Size { nano_cpus, memory }, ..Pending::default() }
    }

    #[test]
    fn tasks_share_machines() {
        let size = Size { nano_cpus: 4, memory: 100 };
        assert_eq!(machines(&[tasks(8, 1, 10)], size, 99), 2);
        assert_eq!(machines(&[tasks(3, 1, 60), tasks(3, 1, 40)], size, 99), 3);
        assert_eq!(machines(&[], size, 99), 0);
    }

    #[test]
    fn what_no_machine_holds_needs_none_and_unknown_sizes_hold_all() {
        assert_eq!(machines(&[tasks(8, 9, 10)], Size { nano_cpus: 4, memory: 100 }, 99), 0);
        assert_eq!(machines(&[tasks(8, 9, 10)], Size::default(), 99), 1);
    }

    #[test]
    fn it_counts_no_further_than_allowed() {
        assert_eq!(machines(&[tasks(u32::MAX, 4, 1)], Size { nano_cpus: 4, memory: 100 }, 3), 3);
    }
}
