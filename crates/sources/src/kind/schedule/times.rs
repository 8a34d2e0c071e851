//! When a schedule's occurrences are: by cron expressions in a time zone, or at equal distances.

use std::time::Duration;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, tz::TimeZone};
use time::OffsetDateTime;

use crate::values::cut;

/// A time from which on each expression is tried once; what fires never from then on fires never.
const TRIED_FROM: i64 = 1_735_689_600;

#[derive(Clone, Debug)]
pub(super) enum Rule {
    /// Any of these.
    Cron(Vec<Cron>),
    /// At each multiple of `every` from the Unix epoch on, and `offset` later; both in seconds.
    Every { every: i64, offset: i64 },
}

impl Rule {
    /// The first occurrence after a time.
    ///
    /// A fixed time that the clock leaves out is at the first moment after the gap, and one that comes twice is once; intervals follow real time.
    pub(super) fn after(&self, time: OffsetDateTime, zone: &TimeZone) -> Option<OffsetDateTime> {
        let second = time.unix_timestamp();
        let next = match self {
            Self::Every { every, offset } => {
                let periods = (second - offset).div_euclid(*every).checked_add(1)?;
                periods.checked_mul(*every)?.checked_add(*offset)
            }
            Self::Cron(expressions) => {
                let from = Timestamp::from_second(second).ok()?.to_zoned(zone.clone());
                let next = expressions.iter().filter_map(|cron| cron.find_next_occurrence(&from, false).ok());
                next.map(|next| next.timestamp().as_second()).filter(|next| *next > second).min()
            }
        };
        OffsetDateTime::from_unix_timestamp(next?).ok()
    }
}

/// Reads one expression; the error is what is wrong with it.
pub(super) fn expression(text: &str, zone: &TimeZone) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| {
        format!("{:?} is not a cron expression of five or six fields, such as 0 3 * * *: {error}", cut(text))
    })?;
    let rule = Rule::Cron(vec![cron.clone()]);
    let from = OffsetDateTime::from_unix_timestamp(TRIED_FROM).ok();
    match from.and_then(|from| rule.after(from, zone)) {
        Some(_) => Ok(cron),
        None => Err(format!("{:?} never fires: there is no such day", cut(text))),
    }
}

pub(super) fn every(every: Duration, offset: Option<Duration>) -> Result<Rule, (&'static str, &'static str)> {
    const LONGEST: u64 = 366 * 86_400;
    let offset = offset.unwrap_or_default();
    if every.subsec_nanos() > 0 || !(1..=LONGEST).contains(&every.as_secs()) {
        return Err(("every", "must be whole seconds, from 1s to 366d"));
    }
    if offset.subsec_nanos() > 0 || offset >= every {
        return Err(("offset", "must be whole seconds, and less than every"));
    }
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or_default();
    Ok(Rule::Every { every: seconds(every), offset: seconds(offset) })
}
