//! The disk of a folder: how soon it has synced what was written, and how full it is.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use crate::swarm::finding::Finding;

const SYNCS: usize = 30;
const BLOCK: [u8; 4096] = [b'x'; 4096];
/// From here on, a single caller notices.
const SLOW: Duration = Duration::from_millis(10);
const VERY_SLOW: Duration = Duration::from_millis(100);
/// Percent of the disk.
const HIGH: u64 = 80;
const FULL: u64 = 95;

pub(super) async fn look(folder: &Path) -> Vec<Finding> {
    let (folder, shown) = (folder.to_owned(), folder.display().to_string());
    let syncs = {
        let folder = folder.clone();
        tokio::task::spawn_blocking(move || measure(&folder)).await.map_err(io::Error::other).flatten()
    };
    let mut findings = vec![match syncs {
        Ok(syncs) => of_syncs(&shown, syncs),
        Err(error) => Finding::wrong(
            format!("nothing can be written in {shown}: {error}"),
            "look at its owner and its mode, and whether the disk is full or read-only",
        ),
    }];
    // What is kept for root counts neither as used nor as free.
    let disk = rustix::fs::statvfs(&folder).ok();
    findings.extend(disk.map(|disk| of_space(&shown, disk.f_blocks - disk.f_bfree, disk.f_bavail)));
    findings
}

/// The median and the longest time of a sync of one block.
fn measure(folder: &Path) -> io::Result<(Duration, Duration)> {
    let path = folder.join(format!(".skep-doctor-{}", std::process::id()));
    let measured = sync_in(&path);
    // It need not be there.
    let _ = fs::remove_file(&path);
    measured
}

fn sync_in(path: &Path) -> io::Result<(Duration, Duration)> {
    let mut file = File::create(path)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let last = times.last().copied().unwrap_or_default();
    Ok((times.get(SYNCS / 2).copied().unwrap_or_default(), last))
}

fn of_syncs(shown: &str, (median, longest): (Duration, Duration)) -> Finding {
    let what = format!("the disk of {shown} syncs in {median:.1?}, at most in {longest:.1?}");
    let why = "every accepted call waits for a sync; calls at the same time share one";
    if median >= VERY_SLOW {
        Finding::wrong(
            format!("{what}: {why}"),
            "put the data on a disk that syncs faster, an SSD of the machine's own",
        )
    } else if median >= SLOW {
        Finding::note(format!("{what}: {why}, so a single caller gets {} a second", 1000 / median.as_millis().max(1)))
    } else {
        Finding::fine(what)
    }
}

fn of_space(shown: &str, used: u64, free: u64) -> Finding {
    let used = used.saturating_mul(100) / (used + free).max(1);
    let what = format!("the disk of {shown} is {used} % full");
    let fix = "give it more room, or keep less (--result-ttl, --dead-ttl, budgets); without room nothing is accepted";
    match used {
        FULL.. => Finding::wrong(what, fix),
        HIGH.. => Finding::note(format!("{what}: {fix}")),
        _ => Finding::fine(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_or_full_disk_is_said_to_be() {
        let milliseconds = |time| (Duration::from_millis(time), Duration::from_millis(time));
        assert!(matches!(of_syncs("/d", milliseconds(1)), Finding::Fine(_)));
        assert!(matches!(of_syncs("/d", milliseconds(20)), Finding::Note(what) if what.contains("50 a second")));
        assert!(of_syncs("/d", milliseconds(200)).is_wrong());
        assert!(matches!(of_space("/d", 79, 21), Finding::Fine(_)));
        assert!(matches!(of_space("/d", 80, 20), Finding::Note(what) if what.contains("80 %")));
        assert!(of_space("/d", 950, 50).is_wrong());
    }

    #[tokio::test]
    async fn a_folder_is_measured_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let found = look(folder.path()).await;
        // The disk of this machine may be slow.
        let (Finding::Fine(what) | Finding::Note(what) | Finding::Wrong { what, .. }) = &found[0];
        assert!(what.contains(" syncs in "), "{what}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(look(Path::new("/no/such/folder")).await[0].is_wrong());
    }
}
