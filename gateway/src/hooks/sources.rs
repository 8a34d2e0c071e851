//! The sources as the gateway knows them.

use skep_bus::{FromSource, Source, SourcesView};
use skep_protocol::SourceName;
use skep_sources::{Defaults, Receiver, Source as Declaration};

use super::hook::Hook;
use crate::app::App;

pub(super) type Sources = SourcesView<Hook>;

/// Follows the sources until shutdown.
pub(super) async fn follow(app: &App) {
    app.hooks.sources.follow(&app.bus.sources, app, &app.shutdown).await;
}

impl FromSource for Hook {
    type Context = App;

    fn from_source(source: &Source, app: &App, before: Option<&Self>) -> Self {
        Self::new(source, app, before)
    }

    fn forget(name: &SourceName, app: &App) {
        let known = app.hooks.sources.get(name.as_str());
        app.hooks.metrics.forget(name, known.iter().flat_map(|hook| hook.secret_names()));
    }
}

/// Checks a declaration, and says what is wrong with it.
pub(crate) fn compile(source: &Source, app: &App) -> Result<Receiver, String> {
    let declared = Declaration::from_spec(&source.record.spec).map_err(|error| error.to_string())?;
    let public_url = app.hooks.public_url.as_ref();
    let connection = &app.bus.connection;
    let prefix = connection.subject_prefix();
    let defaults = Defaults { public_url, prefix, ..Defaults::new(connection.default_namespace()) };
    Receiver::compile(source.record.name.clone(), declared, &defaults).map_err(|error| error.to_string())
}
