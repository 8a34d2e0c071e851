//! `GET /system/audit-log`: who changed what, the last change first.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::HeaderValue;
use serde::Deserialize;
use skep_bus::AuditLogFilter;
use skep_protocol::parse_past;
use time::OffsetDateTime;

use crate::{Error, Result, Routes, app::App, calls::NEXT, input::Queried};

const USUALLY_LISTED: usize = 100;
const MAX_LISTED: usize = 1000;

pub(crate) fn routes() -> Routes {
    vec![("/system/audit-log", get(list))]
}

/// Which entries are meant. All are texts, so that an error can name its parameter.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    since: String,
    until: String,
    actor: String,
    /// Several are separated by commas.
    action: String,
    object: String,
    limit: String,
    after: String,
}

impl Wanted {
    fn filter(&self, now: OffsetDateTime) -> Result<AuditLogFilter> {
        let time = |name: &str, text: &str| match text {
            "" => Ok(None),
            text => parse_past(text, now).map(Some).map_err(|reason| invalid(name, reason)),
        };
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let actions = self.action.split(',').map(str::trim).filter(|action| !action.is_empty());
        let actions = actions.map(|action| action.parse().map_err(|reason| invalid("action", reason)));
        Ok(AuditLogFilter {
            since: time("since", &self.since)?,
            until: time("until", &self.until)?,
            actor: text(&self.actor),
            actions: actions.collect::<Result<_>>()?,
            object: text(&self.object),
        })
    }

    fn limit(&self) -> Result<usize> {
        if self.limit.is_empty() {
            return Ok(USUALLY_LISTED);
        }
        let limit = self.limit.parse().ok().filter(|limit| (1..=MAX_LISTED).contains(limit));
        limit.ok_or_else(|| invalid("limit", format!("write a whole number from 1 to {MAX_LISTED}")))
    }

    fn before(&self) -> Result<Option<u64>> {
        if self.after.is_empty() {
            return Ok(None);
        }
        let place = self.after.parse().map_err(|_| invalid("after", "it is not where a list has ended"))?;
        Ok(Some(place))
    }
}

fn invalid(name: &str, reason: impl std::fmt::Display) -> Error {
    Error::InvalidRequest(format!("{name}: {reason}"))
}

async fn list(State(app): State<Arc<App>>, Queried(wanted): Queried<Wanted>) -> Result<Response> {
    let (filter, limit, before) = (wanted.filter(skep_bus::now())?, wanted.limit()?, wanted.before()?);
    let page = app.require_bus().await?.audit_log.list(&filter, limit, before).await?.ok_or(Error::NoAuditLog)?;
    let next = page.next.and_then(|place| HeaderValue::try_from(place.to_string()).ok());
    Ok((next.map(|next| [(NEXT, next)]), Json(page.entries)).into_response())
}

#[cfg(test)]
mod tests {
    use skep_protocol::AuditAction;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn a_bad_value_is_refused_by_its_name() {
        let refused = |wanted: Wanted| {
            let read = wanted.filter(NOW).and_then(|_| wanted.limit()).and_then(|_| wanted.before());
            let error = read.unwrap_err();
            assert_eq!(error.status().0, 400);
            error.to_string()
        };
        assert!(refused(Wanted { since: "soon".to_owned(), ..Wanted::default() }).starts_with("since: "));
        assert!(refused(Wanted { until: "-1h".to_owned(), ..Wanted::default() }).starts_with("until: "));
        assert!(refused(Wanted { action: "deploy,fold".to_owned(), ..Wanted::default() }).starts_with("action: "));
        assert!(refused(Wanted { after: "w7".to_owned(), ..Wanted::default() }).starts_with("after: "));
        for limit in ["0", "1001", "x", "-1", "1.5"] {
            let wanted = Wanted { limit: limit.to_owned(), ..Wanted::default() };
            assert!(refused(wanted).starts_with("limit: "), "{limit}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_not_filtered() {
        let wanted = Wanted { action: " deploy, scale,".to_owned(), limit: "7".to_owned(), ..Wanted::default() };
        let filter = wanted.filter(NOW).unwrap();
        assert_eq!(filter.actions, [AuditAction::Deploy, AuditAction::Scale]);
        assert!(filter.actor.is_none() && filter.object.is_none() && filter.since.is_none());
        assert_eq!((wanted.limit().unwrap(), wanted.before().unwrap()), (7, None));
        assert_eq!(Wanted::default().limit().unwrap(), USUALLY_LISTED);
    }
}
