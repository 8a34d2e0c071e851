//! Moves of a call while others move it, too, without a server.

use std::sync::Mutex;

use super::*;

const MOVED: Progress = Progress { attempts: 1, interruptions: 0 };

/// One subject of a stream, and what others do there between a look and a write.
#[derive(Default)]
struct Subject {
    replaces: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    target: Target,
    /// What others write there before each of our writes.
    others: Vec<There>,
    looks: usize,
    written: usize,
}

impl Subject {
    fn with(replaces: bool, target: Target, others: &[There]) -> Self {
        let state = State { target, others: others.to_vec(), ..State::default() };
        Self { replaces, state: Mutex::new(state) }
    }

    async fn moved(&self) -> Option<Moved> {
        move_to(self, MOVED).await.unwrap()
    }

    fn looks_and_writes(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (state.looks, state.written)
    }
}

impl Destination for Subject {
    fn replaces(&self) -> bool {
        self.replaces
    }

    async fn find(&self) -> Result<Target> {
        let mut state = self.state.lock().unwrap();
        state.looks += 1;
        Ok(state.target)
    }

    async fn write(&self, expected: u64) -> Result<bool> {
        let mut state = self.state.lock().unwrap();
        if let Some(other) = state.others.pop() {
            state.target.there = Some(other);
        }
        let last = state.target.there.map_or(0, |there| there.sequence);
        if last != expected {
            return Ok(false);
        }
        state.target.there = Some(There { sequence: last + 1, progress: MOVED, is_older: false });
        state.written += 1;
        Ok(true)
    }

    async fn remove(&self, sequence: u64) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        state.target.there = state.target.there.filter(|there| there.sequence != sequence);
        Ok(())
    }
}

fn there(sequence: u64, attempts: u64, is_older: bool) -> There {
    There { sequence, progress: Progress { attempts, interruptions: 0 }, is_older }
}

#[tokio::test]
async fn a_move_that_is_made_twice_writes_once() {
    for replaces in [false, true] {
        let subject = Subject::with(replaces, Target::default(), &[]);
        assert_eq!(subject.moved().await, Some(Moved::Written));
        assert_eq!(subject.moved().await, Some(Moved::Superseded), "replaces: {replaces}");
        assert_eq!(subject.looks_and_writes().1, 1);
    }
}

#[tokio::test]
async fn a_first_move_to_a_lane_or_a_backlog_asks_the_server_once() {
    let subject = Subject::with(false, Target::default(), &[]);
    assert_eq!(subject.moved().await, Some(Moved::Written));
    assert_eq!(subject.looks_and_writes(), (0, 1));
}

#[tokio::test]
async fn what_an_earlier_attempt_has_left_gives_way() {
    for replaces in [false, true] {
        let left = Target { there: Some(there(7, 0, true)), ..Target::default() };
        let subject = Subject::with(replaces, left, &[]);
        assert_eq!(subject.moved().await, Some(Moved::Written), "replaces: {replaces}");
    }
}

#[tokio::test]
async fn what_is_further_or_has_ended_stays() {
    let further = Target { there: Some(there(7, 2, false)), ..Target::default() };
    let elsewhere = Target { elsewhere: Some(there(0, 1, false).progress), ..further };
    let ended = Target { has_record: true, ..Target::default() };
    for target in [further, elsewhere, ended] {
        let subject = Subject::with(true, target, &[]);
        assert_eq!(subject.moved().await, Some(Moved::Superseded), "{target:?}");
        assert_eq!(subject.looks_and_writes().1, 0);
    }
}

#[tokio::test]
async fn a_move_looks_again_when_another_one_was_faster() {
    // The other one has written the same call.
    let subject = Subject::with(true, Target::default(), &[there(7, 1, false)]);
    assert_eq!((subject.moved().await, subject.looks_and_writes().1), (Some(Moved::Superseded), 0));
    // It has written an earlier state of it, which is replaced.
    let subject = Subject::with(true, Target::default(), &[there(7, 0, false)]);
    assert_eq!((subject.moved().await, subject.looks_and_writes().1), (Some(Moved::Written), 1));
}

#[tokio::test]
async fn a_move_that_others_disturb_all_the_time_is_given_up() {
    let others: Vec<There> = (1..=MAX_TRIES as u64).map(|sequence| there(10 * sequence, 0, false)).collect();
    let subject = Subject::with(true, Target::default(), &others);
    assert_eq!((subject.moved().await, subject.looks_and_writes().1), (None, 0));
}
