//! Machines come when tasks wait, and go when nothing runs on them, whatever happens in between.

use std::time::Duration;

use skep_scaling::nodes::{Addition, Cluster, Limits, Memory, Node, Pending, Phase, Size, Step, plan};

const LIMITS: Limits = Limits { max: 2, start: Duration::from_secs(300), idle: Duration::from_secs(600) };
/// A hook that adds and removes what it is asked to.
const GOOD: Hook = Hook { accepts: true, made: 1, forgets: false };

/// How a hook behaves.
#[derive(Clone, Copy)]
struct Hook {
    accepts: bool,
    /// How many machines it makes of each that is asked for.
    made: usize,
    /// It does not know the keys of former calls.
    forgets: bool,
}

/// A cluster whose machines join five seconds after they were made. Tasks are spread over nodes of four.
struct Simulation {
    cluster: Cluster,
    memory: Memory,
    hook: Hook,
    now: u64,
    tasks: u32,
    keys: Vec<String>,
    joins: Vec<(u64, String)>,
    made: usize,
    steps: Vec<Step>,
    /// The controller forgets what it knows after each of its steps.
    dies: bool,
}

impl Simulation {
    fn new(hook: Hook) -> Self {
        let size = Size { nano_cpus: 4, memory: 100 };
        Self {
            cluster: Cluster { size, ..Cluster::default() },
            memory: Memory::default(),
            hook,
            now: 1000,
            tasks: 0,
            keys: Vec::new(),
            joins: Vec::new(),
            made: 0,
            steps: Vec::new(),
            dies: false,
        }
    }

    /// Goes on, with five seconds between two looks.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds / 5 {
            self.now += 5;
            self.place();
            let steps = plan(&mut self.memory, &self.cluster, &LIMITS, self.now);
            for step in steps {
                self.carry_out(&step);
                self.steps.push(step);
                if self.dies {
                    self.memory = Memory::default();
                    break;
                }
            }
            assert!(self.cluster.machines.len() <= 2 * LIMITS.max as usize, "{:?}", self.cluster.machines);
        }
    }

    fn place(&mut self) {
        let now = self.now;
        let (joined, later) = std::mem::take(&mut self.joins).into_iter().partition(|(at, _)| *at <= now);
        self.joins = later;
        for (_, hostname) in joined {
            self.cluster.nodes.push(Node { id: format!("id-{hostname}"), hostname, up: true, ..Node::default() });
        }
        let mut left = self.tasks;
        for node in &mut self.cluster.nodes {
            let takes = node.up && matches!(node.phase, None | Some(Phase::Active));
            node.tasks = if takes { left.min(4) as usize } else { 0 };
            left -= node.tasks as u32;
            node.all_tasks = node.tasks;
        }
        let since = self.cluster.pending.first().map_or(now, |pending| pending.since);
        let each = Size { nano_cpus: 1, memory: 1 };
        let pending = Pending { function: "f".to_owned(), tasks: left, each, since };
        self.cluster.pending = if left > 0 { vec![pending] } else { Vec::new() };
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Adopt { node } => self.enter(node, Phase::Active),
            Step::Enter { node, phase } => self.enter(node, *phase),
            Step::Add { addition } => {
                self.cluster.addition = Some(*addition);
                if self.hook.accepts {
                    let is_first = !self.keys.contains(&addition.key());
                    self.make(addition);
                    if self.dies && is_first {
                        // Before it could write that the hook has accepted.
                        return;
                    }
                    self.cluster.addition = Some(Addition { accepted: true, ..*addition });
                }
            }
            Step::Remove { node, hostname } if self.hook.accepts => {
                self.cluster.machines.retain(|machine| machine != hostname);
                self.cluster.nodes.retain(|other| other.id != *node);
            }
            Step::Discard { hostname } if self.hook.accepts => {
                self.cluster.machines.retain(|machine| machine != hostname);
            }
            _ => {}
        }
    }

    fn make(&mut self, addition: &Addition) {
        if self.keys.contains(&addition.key()) && !self.hook.forgets {
            return;
        }
        self.keys.push(addition.key());
        for _ in 0..addition.count as usize * self.hook.made {
            self.made += 1;
            let hostname = format!("elastic-{}", self.made);
            self.cluster.machines.push(hostname.clone());
            self.joins.push((self.now + 5, hostname));
        }
    }

    fn enter(&mut self, node: &str, phase: Phase) {
        let found = self.cluster.nodes.iter_mut().filter(|other| other.id == *node);
        found.for_each(|node| (node.phase, node.since) = (Some(phase), self.now));
    }

    fn machines(&self) -> usize {
        self.cluster.machines.len()
    }
}

#[test]
fn machines_come_for_what_waits_and_go_when_nothing_runs_on_them() {
    let mut cluster = Simulation::new(GOOD);
    cluster.run(60);
    assert_eq!(cluster.steps, []);
    cluster.tasks = 7;
    cluster.run(60);
    assert_eq!((cluster.machines(), cluster.cluster.pending.len()), (2, 0));
    cluster.tasks = 0;
    cluster.run(580);
    assert_eq!(cluster.machines(), 2);
    cluster.run(120);
    assert_eq!((cluster.machines(), cluster.cluster.nodes.len()), (0, 0));
    let asked = cluster.steps.iter().filter(|step| matches!(step, Step::Add { .. })).count();
    assert_eq!(asked, 1);
}

#[test]
fn a_controller_that_dies_after_each_step_does_the_same() {
    let mut cluster = Simulation::new(GOOD);
    cluster.dies = true;
    cluster.tasks = 7;
    cluster.run(120);
    assert_eq!((cluster.machines(), cluster.cluster.pending.len()), (2, 0));
    cluster.tasks = 0;
    cluster.run(2000);
    assert_eq!((cluster.machines(), cluster.cluster.nodes.len(), cluster.made), (0, 0, 2));
}

#[test]
fn there_are_never_more_machines_than_allowed() {
    let mut cluster = Simulation::new(GOOD);
    cluster.tasks = 100;
    cluster.run(3000);
    assert_eq!(cluster.made, 2);
}

#[test]
fn a_hook_that_fails_is_called_again_with_the_same_key_until_a_machine_should_be_there() {
    let mut cluster = Simulation::new(Hook { accepts: false, ..GOOD });
    cluster.tasks = 4;
    cluster.run(300);
    let keys: Vec<_> = cluster
        .steps
        .iter()
        .filter_map(|step| if let Step::Add { addition } = step { Some(addition.key()) } else { None })
        .collect();
    assert!((5..=11).contains(&keys.len()), "{keys:?}");
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    cluster.hook = GOOD;
    cluster.run(60);
    assert_eq!((cluster.made, cluster.cluster.pending.len()), (1, 0));
}

#[test]
fn a_hook_that_adds_none_is_asked_again_after_the_start_time() {
    let mut cluster = Simulation::new(Hook { made: 0, ..GOOD });
    cluster.tasks = 4;
    cluster.run(1200);
    assert!((3..=4).contains(&cluster.keys.len()), "{:?}", cluster.keys);
}

#[test]
fn what_a_hook_adds_twice_goes_again() {
    let mut cluster = Simulation::new(Hook { made: 2, ..GOOD });
    cluster.tasks = 4;
    cluster.run(60);
    assert_eq!(cluster.machines(), 2);
    cluster.run(1000);
    assert_eq!((cluster.machines(), cluster.cluster.pending.len()), (1, 0));
}

#[test]
fn a_node_that_pauses_comes_back_when_tasks_wait() {
    let mut cluster = Simulation::new(GOOD);
    cluster.tasks = 4;
    cluster.run(60);
    cluster.tasks = 0;
    cluster.run(605);
    assert_eq!(cluster.cluster.nodes[0].phase, Some(Phase::Pausing));
    cluster.tasks = 4;
    cluster.run(10);
    assert_eq!(cluster.cluster.nodes[0].phase, Some(Phase::Active));
    assert_eq!(cluster.made, 1);
}

#[test]
fn a_machine_that_never_joins_and_a_node_that_is_down_are_given_up() {
    let mut cluster = Simulation::new(GOOD);
    cluster.cluster.machines = vec!["lost".to_owned()];
    cluster.run(595);
    assert_eq!(cluster.machines(), 1);
    cluster.run(20);
    assert_eq!(cluster.machines(), 0);
    cluster.tasks = 4;
    cluster.run(60);
    cluster.tasks = 0;
    cluster.cluster.nodes[0].up = false;
    cluster.run(700);
    assert_eq!((cluster.machines(), cluster.cluster.nodes.len()), (0, 0));
}

#[test]
fn nodes_that_the_hook_does_not_know_are_left_alone() {
    let mut cluster = Simulation::new(GOOD);
    cluster.cluster.nodes =
        vec![Node { id: "own".to_owned(), hostname: "own".to_owned(), up: true, ..Node::default() }];
    cluster.run(5000);
    assert_eq!(cluster.steps, []);
}

#[test]
fn a_task_that_fits_on_no_machine_adds_none_and_is_reported() {
    let mut memory = Memory::default();
    let each = Size { nano_cpus: 9, memory: 1 };
    let pending = vec![Pending { function: "large".to_owned(), tasks: 3, each, since: 0 }];
    let cluster = Cluster { pending, size: Size { nano_cpus: 4, memory: 100 }, ..Cluster::default() };
    let steps = plan(&mut memory, &cluster, &LIMITS, 1000);
    assert_eq!(steps, [Step::TooLarge { function: "large".to_owned() }]);
    assert_eq!(plan(&mut memory, &cluster, &LIMITS, 1005), []);
}

#[test]
fn an_addition_is_read_as_it_was_written() {
    let addition = Addition { at: 17, count: 2, accepted: true };
    assert_eq!(addition.to_string().parse(), Ok(addition));
    assert!("soon".parse::<Addition>().is_err());
}
