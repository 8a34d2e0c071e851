//! `skep swarm password --rotate-nats`: other passwords of the roles on NATS.
//!
//! First NATS knows the new ones beside those before, then the roles use them, and then NATS knows them alone. What was broken off goes on when it is asked for again.

use super::{
    docker::docker,
    engine::{Engine, Membership},
    logins, roll,
    settings::{Now, Settings},
    stack::{self, failed},
    up,
};
use crate::{
    args::SwarmPasswordArgs,
    failure::{Failure, Result},
    output,
};

pub(super) async fn run(args: SwarmPasswordArgs, mut settings: Settings) -> Result<()> {
    settings.now = Now { name: args.name, wait: args.wait, ..Now::default() };
    let engine = up::check(&settings).await?;
    let Some(swarm) = &engine.swarm else { return Err(Failure::setting("Swarm is off")) };
    if settings.other_login.is_none_or(|other| other > settings.login) {
        let next = settings.other_login.unwrap_or(settings.login + 1);
        settings.other_login = Some(next);
        stack::create_secrets(&stack::missing_secrets(&settings).await?).await?;
        go(&settings, (&engine, swarm), "NATS learns the new passwords:").await?;
        settings.other_login = Some(std::mem::replace(&mut settings.login, next));
    }
    go(&settings, (&engine, swarm), "The roles use them:").await?;
    let before = settings.other_login.take();
    go(&settings, (&engine, swarm), "NATS forgets those before:").await?;
    for name in before.into_iter().flat_map(|before| logins::NAMES.map(|name| logins::secret(name, before))) {
        docker(&["secret", "rm", &name]).await.map_err(failed)?;
    }
    output::line("\nThe old passwords are no longer valid.");
    Ok(())
}

async fn go(settings: &Settings, (engine, swarm): (&Engine, &Membership), what: &str) -> Result<()> {
    output::line(format_args!("\n{what}"));
    roll::roll(settings, engine, swarm).await
}
