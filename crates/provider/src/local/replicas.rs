//! The replicas of one function: how many run, which get calls, and which are about to stop.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use skep_protocol::{Endpoint, FunctionDeployment, FunctionName, FunctionRecord};
use tokio::{
    sync::Notify,
    task::{Id, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{Cause, Replicas, Result};

use super::{
    ProviderContext,
    logs::Log,
    replica::{Address, Replica},
    secrets,
    usage::CpuUsage,
};

/// A deployment whose replica has failed so often before it was ready will not become ready.
const MAX_FAILED_STARTS: u32 = 3;

pub(super) struct LocalReplicas {
    context: Arc<ProviderContext>,
    name: FunctionName,
    log: Arc<Log>,
    wanted: Option<DesiredState>,
    /// There may be links to secrets that are not named any more.
    stale_links: bool,
    members: HashMap<Id, Member>,
    tasks: JoinSet<()>,
    changed: Arc<Notify>,
    cpu: CpuUsage,
}

struct DesiredState {
    deployment: Arc<FunctionDeployment>,
    replicas: u64,
}

/// The owner's side of a replica.
struct Member {
    number: u64,
    deployment: Arc<FunctionDeployment>,
    address: Address,
    retiring: bool,
    stop: CancellationToken,
}

impl LocalReplicas {
    pub(super) fn new(context: Arc<ProviderContext>, name: FunctionName, log: Arc<Log>) -> Self {
        let (members, tasks, changed, cpu) = (HashMap::new(), JoinSet::new(), Arc::default(), CpuUsage::default());
        Self { context, name, log, wanted: None, stale_links: true, members, tasks, changed, cpu }
    }

    fn start(&mut self, number: u64) {
        let Some(wanted) = &self.wanted else { return };
        let address = Address::new(Arc::clone(&self.changed));
        let stop = CancellationToken::new();
        let replica = Replica {
            context: Arc::clone(&self.context),
            name: self.name.clone(),
            deployment: Arc::clone(&wanted.deployment),
            instance: self.instance(number),
            log: Arc::clone(&self.log),
            address: address.clone(),
            stop: stop.clone(),
        };
        let deployment = Arc::clone(&wanted.deployment);
        let id = self.tasks.spawn(replica.run()).id();
        self.members.insert(id, Member { number, deployment, address, retiring: false, stop });
    }

    fn view(&self, id: Id, member: &Member) -> ReplicaView {
        ReplicaView {
            id,
            number: member.number,
            current: self.is_current(member),
            ready: member.address.get().is_some(),
            retiring: member.retiring,
        }
    }

    fn is_current(&self, member: &Member) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| Arc::ptr_eq(&wanted.deployment, &member.deployment))
    }

    fn instance(&self, number: u64) -> String {
        format!("{}-{number}", self.name)
    }
}

#[async_trait]
impl Replicas for LocalReplicas {
    fn adopt(&mut self, record: &FunctionRecord) {
        let deployment = &record.deployment;
        self.context.secrets.adopt(&self.name, &deployment.secrets);
        let same = self.wanted.take().map(|wanted| wanted.deployment).filter(|wanted| wanted == deployment);
        self.stale_links |= same.is_none();
        // After a rollback, what has run all the time goes on.
        let mut running = self.members.values().filter(|member| !member.retiring).map(|member| &member.deployment);
        let same = same.or_else(|| running.find(|running| *running == deployment).cloned());
        let deployment = same.unwrap_or_else(|| Arc::clone(deployment));
        self.wanted = Some(DesiredState { deployment, replicas: record.replicas });
    }

    async fn apply(&mut self, record: &FunctionRecord, _cause: Cause) -> Result<()> {
        self.adopt(record);
        Ok(())
    }

    fn remove(&mut self) {
        self.context.secrets.adopt(&self.name, &[]);
        self.detach();
    }

    fn converge(&mut self) {
        let seen: Vec<ReplicaView> = self.members.iter().map(|(id, member)| self.view(*id, member)).collect();
        let plan = plan(&seen, self.wanted.as_ref().map_or(0, |wanted| wanted.replicas));
        for id in plan.retire {
            if let Some(member) = self.members.get_mut(&id) {
                member.retiring = true;
            }
        }
        for number in plan.start {
            self.start(number);
        }
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let mut members: Vec<&Member> = self.members.values().filter(|member| !member.retiring).collect();
        members.sort_by_key(|member| member.number);
        let endpoint = |member: &Member| {
            let address = member.address.get()?;
            Some(Endpoint { instance: self.instance(member.number), address })
        };
        members.into_iter().filter_map(endpoint).collect()
    }

    /// Why a replica cannot be started; one that ran and failed says it in the function's log.
    fn problem(&self) -> Option<String> {
        let mut members: Vec<&Member> = self.members.values().filter(|member| !member.retiring).collect();
        members.sort_by_key(|member| member.number);
        members.into_iter().find_map(|member| member.address.problem())
    }

    fn cpu(&mut self) -> Option<f64> {
        let serving = self.members.values().filter(|member| !member.retiring);
        self.cpu.look(serving.filter_map(|member| member.address.leader()))
    }

    fn is_ready(&self) -> bool {
        let wanted = self.wanted.as_ref().map_or(0, |wanted| wanted.replicas);
        let serves = |member: &&Member| !member.retiring && self.is_current(member) && member.address.get().is_some();
        wanted > 0 && self.members.values().filter(serves).count() as u64 >= wanted
    }

    fn failure(&self) -> Option<String> {
        let mut current = self.members.values().filter(|member| !member.retiring && self.is_current(member));
        let failed = current.find(|member| member.address.failed_starts() >= MAX_FAILED_STARTS)?;
        failed.address.problem()
    }

    fn retire(&mut self) {
        for member in self.members.values().filter(|member| member.retiring) {
            member.stop.cancel();
        }
        if self.stale_links && self.members.values().all(|member| self.is_current(member)) {
            let names = self.wanted.as_ref().map_or(&[][..], |wanted| &wanted.deployment.secrets);
            secrets::prune(&self.context.secrets_folder(&self.name), names);
            self.stale_links = false;
        }
    }

    /// Returns when a replica has become ready, has failed or has ended.
    async fn changed(&mut self) {
        tokio::select! {
            () = self.changed.notified() => {}
            Some(ended) = self.tasks.join_next_with_id() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => error.id(),
                };
                self.members.remove(&id);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn detach(&mut self) {
        self.wanted = None;
        self.stale_links = true;
        self.converge();
    }
}

/// A replica as the plan sees it.
#[derive(Clone, Debug)]
struct ReplicaView<I = Id> {
    id: I,
    number: u64,
    /// It runs what is wanted now.
    current: bool,
    ready: bool,
    retiring: bool,
}

#[derive(Debug, PartialEq)]
struct Plan<I = Id> {
    /// Numbers of the replicas to start.
    start: Vec<u64>,
    retire: Vec<I>,
}

/// Decides what to start and what to retire: what is outdated goes only when all that is wanted is ready.
fn plan<I: Copy>(seen: &[ReplicaView<I>], wanted: u64) -> Plan<I> {
    let mut current: Vec<&ReplicaView<I>> =
        seen.iter().filter(|replica| replica.current && !replica.retiring).collect();
    let count = current.len() as u64;
    let ready = current.iter().filter(|replica| replica.ready).count() as u64;

    let free = (1..).filter(|number| seen.iter().all(|replica| replica.number != *number));
    let missing = usize::try_from(wanted.saturating_sub(count)).unwrap_or(usize::MAX);
    let start = free.take(missing).collect();

    // The first to go are those that cannot serve, then the highest numbers.
    current.sort_by_key(|replica| (replica.ready, std::cmp::Reverse(replica.number)));
    let excess = usize::try_from(count.saturating_sub(wanted)).unwrap_or(usize::MAX);
    let mut retire: Vec<I> = current.into_iter().take(excess).map(|replica| replica.id).collect();

    let outdated = seen.iter().filter(|replica| !replica.current && !replica.retiring);
    retire.extend(outdated.filter(|replica| !replica.ready || ready >= wanted).map(|replica| replica.id));
    Plan { start, retire }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `c` current, `o` outdated; upper case is ready; a `-` after it is retiring. Numbers count from 1.
    fn check(replicas: &str, wanted: u64, start: &[u64], retire: &[u64]) {
        let seen: Vec<ReplicaView<u64>> = (1..)
            .zip(replicas.split_whitespace())
            .map(|(number, text)| ReplicaView {
                id: number,
                number,
                current: text.to_lowercase().starts_with('c'),
                ready: text.starts_with(char::is_uppercase),
                retiring: text.ends_with('-'),
            })
            .collect();
        let mut found = plan(&seen, wanted);
        found.retire.sort_unstable();
        assert_eq!((found.start.as_slice(), found.retire.as_slice()), (start, retire), "{replicas} for {wanted}");
    }

    #[test]
    fn missing_replicas_get_the_lowest_free_numbers() {
        check("", 2, &[1, 2], &[]);
        check("C C- c", 3, &[4], &[]);
        check("C C", 2, &[], &[]);
    }

    #[test]
    fn scaling_down_takes_first_what_does_not_serve() {
        check("C C C", 1, &[], &[2, 3]);
        check("c C C", 2, &[], &[1]);
        check("C C- C", 0, &[], &[1, 3]);
    }

    #[test]
    fn an_update_keeps_the_old_until_all_new_ones_are_ready() {
        check("O O", 2, &[3, 4], &[]);
        check("O o c", 1, &[], &[2]);
        check("O O C c", 2, &[], &[]);
        check("O O C C", 2, &[], &[1, 2]);
        check("O O c", 0, &[], &[1, 2, 3]);
    }
}
