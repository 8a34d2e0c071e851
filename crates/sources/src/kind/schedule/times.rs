//! When a schedule's occurrences are: by cron expressions in a time zone, or at equal distances.

use std::time::Duration;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, Zoned, tz::TimeZone};
use time::OffsetDateTime;

use crate::values::cut;

/// A time from which on each expression is tried once; what fires never from then on fires never.
const TRIED_FROM: i64 = 1_735_689_600;
/// Times of a day that one expression may name without a wildcard or a step; more of them are an interval.
const MAX_FIXED_TIMES: usize = 24;

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
                let next = expressions.iter().filter_map(|cron| occurrence_after(cron, &from));
                next.map(|next| next.timestamp().as_second()).filter(|next| *next > second).min()
            }
        };
        OffsetDateTime::from_unix_timestamp(next?).ok()
    }
}

/// The first occurrence after a time. Where a whole day is left out, as when a country crosses the date line, it is looked for behind that.
fn occurrence_after(cron: &Cron, from: &Zoned) -> Option<Zoned> {
    let found = cron.find_next_occurrence(from, false).ok();
    found.or_else(|| {
        let change = from.time_zone().following(from.timestamp()).next()?.timestamp();
        cron.find_next_occurrence(&change.to_zoned(from.time_zone().clone()), true).ok()
    })
}

/// Reads one expression; the error is what is wrong with it.
///
/// Several fixed times of a day are read as one expression each, because what a change of clocks does to one says nothing about the others.
pub(super) fn expression(text: &str, zone: &TimeZone) -> Result<Vec<Cron>, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let read = |text: &str| {
        parser.parse(text).map_err(|error| {
            format!("{:?} is not a cron expression of five or six fields, such as 0 3 * * *: {error}", cut(text))
        })
    };
    let cron = read(text)?;
    let from = Timestamp::from_second(TRIED_FROM).map(|from| from.to_zoned(zone.clone()));
    if !from.is_ok_and(|from| cron.find_next_occurrence(&from, false).is_ok()) {
        return Err(format!("{:?} never fires: there is no such day", cut(text)));
    }
    match fixed_times(text) {
        Some(times) => times.iter().map(|one| read(one)).collect(),
        None => Ok(vec![cron]),
    }
}

/// An expression of several fixed times, as one of each.
fn fixed_times(text: &str) -> Option<Vec<String>> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let (seconds, minutes, hours, days) = match fields.as_slice() {
        [minutes, hours, days @ ..] if days.len() == 3 => ("0", *minutes, *hours, days),
        [seconds, minutes, hours, days @ ..] if days.len() == 3 => (*seconds, *minutes, *hours, days),
        _ => return None,
    };
    let (seconds, minutes, hours) = (numbers(seconds)?, numbers(minutes)?, numbers(hours)?);
    if seconds.len() * minutes.len() * hours.len() > MAX_FIXED_TIMES {
        return None;
    }
    let days = days.join(" ");
    let times = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| (hour, minute)));
    let times = times.flat_map(|(hour, minute)| seconds.iter().map(move |second| (hour, minute, second)));
    Some(times.map(|(hour, minute, second)| format!("{second} {minute} {hour} {days}")).collect())
}

/// The numbers of a field of numbers, lists and ranges.
fn numbers(field: &str) -> Option<Vec<u8>> {
    let mut numbers = Vec::new();
    for part in field.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        numbers.extend(first.parse::<u8>().ok()?..=last.parse::<u8>().ok()?);
    }
    Some(numbers)
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
