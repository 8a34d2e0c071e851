//! Time zones by their names; the database is compiled in.

use std::sync::LazyLock;

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};
use time::{OffsetDateTime, UtcOffset};

use crate::values::cut;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The time zone of this name, as `Europe/Berlin`.
pub(super) fn named(name: &str) -> Result<TimeZone, String> {
    ZONES.get(name.trim()).map_err(|_| {
        let nearest = nearest(name.trim()).map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        format!("{:?} is not a time zone such as Europe/Berlin{nearest}", cut(name))
    })
}

pub(super) fn local(time: OffsetDateTime, zone: &TimeZone) -> OffsetDateTime {
    let offset = Timestamp::from_second(time.unix_timestamp()).map(|at| zone.to_offset(at).seconds());
    let offset = offset.ok().and_then(|seconds| UtcOffset::from_whole_seconds(seconds).ok());
    // The year 10000 begins there before it does in UTC.
    time.checked_to_offset(offset.unwrap_or(UtcOffset::UTC)).unwrap_or(time)
}

/// The name that is most like a text: by its city alone, for that is what people remember.
fn nearest(name: &str) -> Option<String> {
    let wanted: String = name.to_lowercase().replace(' ', "_").chars().take(60).collect();
    let city = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let distance = |known: &str| {
        let known = known.to_lowercase();
        let whole = changes(&wanted, &known);
        whole.min(changes(&city(&wanted), &city(&known)) + 1)
    };
    let known = ZONES.available().map(|known| (distance(known.as_str()), known.to_string()));
    known.min().map(|(_, name)| name)
}

/// How many letters differ.
fn changes(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, letter) in one.chars().enumerate() {
        let mut next = vec![number + 1];
        for (place, window) in row.windows(2).enumerate() {
            let [diagonal, above] = window else { continue };
            let left = next.last().copied().unwrap_or_default();
            let same = usize::from(other.get(place) != Some(&letter));
            next.push((diagonal + same).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
