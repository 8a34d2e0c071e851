//! Following the files of a stack: what changes is built, and deployed again.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use skep_bus::Bus;
use skep_dispatch::{Dispatch, Registry};
use skep_protocol::{
    FunctionDeployment, FunctionName,
    control::{Delete, DeleteSource},
};
use skep_stack::Stack;
use tokio::{sync::mpsc, time::sleep};

use super::{
    build, show,
    snapshot::{Files, Snapshot},
};
use crate::{
    args::UpArgs,
    failure::{Failure, Result},
    output, stack_file, up,
};

/// Editors write a file in several steps.
const SETTLE_TIME: Duration = Duration::from_millis(50);
/// How long a restarted function is waited for, before nothing more is said of it.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The annotation that makes a deployment another one, although its settings are the same.
const RESTARTS: &str = "skep.dev.restarts";

/// A stack whose files are followed.
pub(crate) struct Follower {
    file: PathBuf,
    /// The folder of the stack file, which functions may share.
    shared: PathBuf,
    /// What the file said last.
    stack: Stack,
    /// What of it was deployed last.
    deployed: Stack,
    followed: HashMap<String, Followed>,
    /// What was wrong with the stack file, so that it is reported once.
    problem: String,
}

/// One function.
struct Followed {
    files: Files,
    seen: Snapshot,
    restarts: u64,
}

impl Follower {
    pub(crate) fn new(file: PathBuf, stack: &Stack) -> Self {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let shared = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
        let (known, deployed) = (stack.clone(), stack.clone());
        let mut follower =
            Self { file, shared, stack: known, deployed, followed: HashMap::new(), problem: String::new() };
        follower.adopt(stack.clone());
        follower
    }

    /// Follows until it is dropped. What cannot be built or deployed is reported, and the former version goes on.
    pub(crate) async fn follow(mut self, args: &UpArgs, bus: &Bus, dispatch: &Dispatch) -> Result<()> {
        let calls = show::queued_calls(bus).await?;
        let follow = async {
            let (sender, mut changes) = mpsc::channel(1);
            let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Looking at files is no change of them.
                if event.is_ok_and(|event| !event.kind.is_access()) {
                    // If it is full, a look is due already.
                    let _ = sender.try_send(());
                }
            });
            let mut watcher = watcher.map_err(Failure::internal)?;
            let (file, count) = (self.file.display(), self.followed.len());
            let functions = if count == 1 { "its function".to_owned() } else { format!("its {count} functions") };
            output::line(format_args!("skep dev follows the files of {file} and {functions}"));
            let mut starting = Vec::new();
            loop {
                self.watch(&mut watcher);
                match self.look(args, bus, dispatch).await {
                    Ok(new) => {
                        starting.retain(|one: &Starting| !new.iter().any(|now| now.name == one.name));
                        starting.extend(new);
                    }
                    Err(failure) => output::line(output::harmless(&failure.to_string())),
                }
                tokio::select! {
                    _ = changes.recv() => {}
                    () = report(dispatch.registry(), &mut starting) => {}
                }
                sleep(SETTLE_TIME).await;
                while changes.try_recv().is_ok() {}
            }
        };
        tokio::select! {
            ended = follow => ended,
            () = calls => Ok(()),
        }
    }

    /// Watches all folders with files of functions, and that of the stack file.
    fn watch(&self, watcher: &mut RecommendedWatcher) {
        let folders: BTreeSet<PathBuf> =
            self.followed.values().flat_map(|one| one.files.look().1).chain([self.shared.clone()]).collect();
        for folder in folders {
            // One that is gone again is seen in the folder above it.
            let _ = watcher.watch(&folder, RecursiveMode::NonRecursive);
        }
    }

    /// Reads the stack file, finds what has changed, builds it, and deploys it. Returns what starts now.
    async fn look(&mut self, args: &UpArgs, bus: &Bus, dispatch: &Dispatch) -> Result<Vec<Starting>> {
        let began = Instant::now();
        let read = match stack_file::read(&self.file) {
            Ok(stack) => stack,
            Err(failure) => return self.tell_once(failure),
        };
        let is_changed = read != self.stack;
        let mut changed = self.changed();
        let new = read.builds.iter().filter(|build| !self.stack.builds.contains(build));
        changed.extend(new.map(|build| build.function.clone()));
        if changed.is_empty() && !is_changed {
            return Ok(Vec::new());
        }
        // Its files are as they are before the build; what is written meanwhile is seen next.
        self.adopt(read.clone());
        for build in &read.builds {
            if changed.contains(&build.function)
                && let Err(failure) = build::build(build).await
            {
                output::line(output::harmless(&failure.to_string()));
                changed.remove(&build.function);
            }
        }
        let mut stack = match up::read_stack(args) {
            Ok(stack) => stack,
            Err(failure) => return self.tell_once(failure),
        };
        self.problem.clear();
        for name in &changed {
            self.followed.entry(name.clone()).and_modify(|one| one.restarts += 1);
        }
        for function in &mut stack.functions {
            let restarts = self.followed.get(&full_name(function)).map_or(0, |one| one.restarts);
            if restarts > 0 {
                function.annotations.insert(RESTARTS.to_owned(), restarts.to_string());
            }
        }
        let before: HashMap<_, _> =
            dispatch.registry().all().iter().map(|one| (one.name.clone(), names(one))).collect();
        remove(bus, &self.deployed, &stack).await?;
        up::deploy_stack(bus, &stack).await?;
        let starting = self.starting(bus, &stack, &before, &changed, began);
        self.deployed = read;
        Ok(starting)
    }

    /// The functions whose files are others than they were.
    fn changed(&mut self) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        for (name, one) in &mut self.followed {
            let (now, _) = one.files.look();
            if now != one.seen {
                one.seen = now;
                changed.insert(name.clone());
            }
        }
        changed
    }

    /// From now on this is the stack.
    fn adopt(&mut self, stack: Stack) {
        let mut followed = HashMap::new();
        for function in &stack.functions {
            let name = full_name(function);
            let build = stack.builds.iter().find(|build| build.function == name);
            let files = Files::of(function, &self.shared, build);
            let known = self.followed.remove(&name);
            let restarts = known.as_ref().map_or(0, |known| known.restarts);
            let seen = match known {
                Some(known) if known.files == files => known.seen,
                Some(_) | None => files.look().0,
            };
            followed.insert(name, Followed { files, seen, restarts });
        }
        (self.followed, self.stack) = (followed, stack);
    }

    fn tell_once(&mut self, failure: Failure) -> Result<Vec<Starting>> {
        let problem = failure.to_string();
        if problem == self.problem {
            return Ok(Vec::new());
        }
        self.problem = problem;
        Err(failure)
    }

    /// The functions of a stack that were deployed anew.
    fn starting(
        &self,
        bus: &Bus,
        stack: &Stack,
        before: &HashMap<FunctionName, Vec<String>>,
        changed: &BTreeSet<String>,
        began: Instant,
    ) -> Vec<Starting> {
        let is_new = |function: &FunctionDeployment| {
            // The mark of restarts is on what was sent alone.
            let mut wanted = function.clone();
            wanted.annotations.remove(RESTARTS);
            changed.contains(&full_name(function)) || !self.deployed.functions.contains(&wanted)
        };
        let starting = |function: &FunctionDeployment| {
            let namespace = bus.connection.default_namespace();
            let name = namespace.function_in(&function.service, &function.namespace).ok()?;
            let old = before.get(&name).cloned().unwrap_or_default();
            Some(Starting { name, shown: full_name(function), old, began })
        };
        stack.functions.iter().filter(|function| is_new(function)).filter_map(starting).collect()
    }
}

/// A function whose new replicas are waited for.
struct Starting {
    name: FunctionName,
    shown: String,
    old: Vec<String>,
    began: Instant,
}

impl Starting {
    fn is_up(&self, registry: &Registry) -> bool {
        let function = registry.get(&self.name);
        function.is_some_and(|now| names(&now).iter().any(|replica| !self.old.contains(replica)))
    }
}

/// Says which functions run anew, once they do. It never ends: what does not start now may after the next change.
async fn report(registry: &Registry, starting: &mut Vec<Starting>) {
    while !starting.is_empty() {
        let is_one_up = |registry: &Registry| starting.iter().any(|one| one.is_up(registry));
        if !registry.wait_until(is_one_up, READY_TIMEOUT).await {
            break;
        }
        for Starting { shown, old, began, .. } in starting.extract_if(.., |one| one.is_up(registry)) {
            let done = if old.is_empty() { "runs" } else { "is restarted" };
            output::line(format_args!("{shown} {done}, after {:.2} s", began.elapsed().as_secs_f64()));
        }
    }
    std::future::pending().await
}

/// Removes the functions and sources that the stack has no longer.
async fn remove(bus: &Bus, former: &Stack, now: &Stack) -> Result<()> {
    let kept: BTreeSet<String> = now.functions.iter().map(full_name).collect();
    for function in former.functions.iter().filter(|function| !kept.contains(&full_name(function))) {
        let name = bus.connection.default_namespace().function_in(&function.service, &function.namespace);
        let name = name.map_err(Failure::internal)?;
        bus.control.request(&Delete { function: name }).await.map_err(Failure::internal)?;
        output::line(format_args!("{} is removed", full_name(function)));
    }
    for (name, _) in former.sources.iter().filter(|(name, _)| !now.sources.iter().any(|(kept, _)| kept == name)) {
        bus.control.request(&DeleteSource { name: name.clone() }).await.map_err(Failure::internal)?;
        output::line(format_args!("source {name} is removed"));
    }
    Ok(())
}

/// The replicas of a function.
fn names(function: &skep_dispatch::Function) -> Vec<String> {
    function.record.endpoints.iter().map(|endpoint| endpoint.instance.clone()).collect()
}

fn full_name(function: &FunctionDeployment) -> String {
    let FunctionDeployment { service, namespace, .. } = function;
    if namespace.is_empty() { service.clone() } else { format!("{service}.{namespace}") }
}
