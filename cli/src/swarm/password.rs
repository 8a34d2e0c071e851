//! `skep swarm password`: another password of the admin API.
//!
//! A secret of Swarm cannot change, and nobody can read it. So the new password is a secret of another name, which the settings of the stack remember.

use super::{
    docker::{docker, docker_with_input},
    rotate,
    settings::{Now, Settings},
    stack::failed,
    up,
};
use crate::{
    args::SwarmPasswordArgs,
    failure::{Failure, Result},
    output,
    password::{self, PASSWORD_FILE, USER},
};

pub(crate) async fn run(args: SwarmPasswordArgs) -> Result<()> {
    if !args.rotate && !args.rotate_nats {
        return Err(Failure::setting(
            "the password is a secret of Swarm, which nobody can read again: --rotate makes a new one",
        ));
    }
    let Some(mut settings) = Settings::of_stack(&args.name).await else {
        let reason = format!("there is no stack {} of skep swarm up; run skep swarm up first", args.name);
        return Err(Failure::setting(reason));
    };
    if args.rotate_nats {
        return rotate::run(args, settings).await;
    }
    let before = settings.password_secret.clone().unwrap_or_else(|| PASSWORD_FILE.to_owned());
    let next = next_name(&before);
    let password = password::random().map_err(Failure::internal)?;
    docker_with_input(&["secret", "create", &next, "-"], &password).await.map_err(failed)?;
    output::line(format_args!("The new password of {USER}, shown only here: {password}\n"));
    settings.password_secret = Some(next);
    settings.now = Now { name: args.name, wait: args.wait, ..Now::default() };
    up::deploy(&settings).await?;
    docker(&["secret", "rm", &before]).await.map_err(failed)?;
    output::line("\nThe old password is no longer valid.");
    Ok(())
}

/// `basic-auth-password`, `basic-auth-password-2`, `basic-auth-password-3`.
fn next_name(before: &str) -> String {
    let number = before.strip_prefix(PASSWORD_FILE).and_then(|rest| rest.strip_prefix('-')?.parse::<u32>().ok());
    format!("{PASSWORD_FILE}-{}", number.unwrap_or(1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_password_has_a_name_of_its_own() {
        let names = ["basic-auth-password", "basic-auth-password-2", "basic-auth-password-9"].map(next_name);
        assert_eq!(names, ["basic-auth-password-2", "basic-auth-password-3", "basic-auth-password-10"]);
    }
}
