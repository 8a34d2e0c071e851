//! The users of a NATS server: one for each role, with the permissions that [`Role`] lists, and one for backups.

use skep_bus::{OPERATOR, Permissions, Role, operator_permissions};
use skep_protocol::Subjects;
use skep_queue_worker::SubjectPattern;

use crate::{args::NatsUsersArgs, output};

/// `skep nats-users`.
pub(crate) fn print(args: &NatsUsersArgs) {
    output::line(printed(args));
}

/// The setting `users`. The passwords are variables, named after the users.
fn printed(args: &NatsUsersArgs) -> String {
    let subjects = &args.subject_prefix;
    let users = users(subjects, &args.callback_subjects, |role| format!("${}", role.user()));
    let operator = user(OPERATOR, &format!("${OPERATOR}"), &operator_permissions(subjects));
    format!("users: [\n{users}{operator}]")
}

/// One user for each role, as they stand in a server's settings.
pub(crate) fn users(
    subjects: &Subjects,
    callback_subjects: &[SubjectPattern],
    password: impl Fn(Role) -> String,
) -> String {
    let of = |role: Role| {
        let mut permissions = role.permissions(subjects);
        if role == Role::QueueWorker {
            permissions.publish.extend(callback_subjects.iter().map(SubjectPattern::to_string));
        }
        user(role.user(), &password(role), &permissions)
    };
    Role::ALL.map(of).concat()
}

fn user(name: &str, password: &str, permissions: &Permissions) -> String {
    let Permissions { publish, subscribe, not_publish, not_subscribe } = permissions;
    let (publish, subscribe) = (rule(publish, not_publish), rule(subscribe, not_subscribe));
    format!(
        "  {{ user: {name}, password: {password}, permissions: {{\n    \
         publish: {{ {publish} }}\n    subscribe: {{ {subscribe} }}\n  }} }}\n"
    )
}

/// The user of devices: over MQTT alone, for all topics but those of skep and of the server.
pub(crate) fn device(name: &str, password: &str, permissions: &Permissions) -> String {
    let Permissions { publish, subscribe, not_publish, not_subscribe } = permissions;
    let (publish, subscribe) = (rule(publish, not_publish), rule(subscribe, not_subscribe));
    format!(
        "  {{ user: {name}, password: {password}, allowed_connection_types: [\"MQTT\"], permissions: {{\n    \
         publish: {{ {publish} }}\n    subscribe: {{ {subscribe} }}\n  }} }}\n"
    )
}

fn rule(allow: &[String], deny: &[String]) -> String {
    let allow = format!("allow: [{}]", list(allow));
    if deny.is_empty() { allow } else { format!("{allow}, deny: [{}]", list(deny)) }
}

fn list(subjects: &[String]) -> String {
    let lines = subjects.iter().map(|subject| format!("\n      {subject:?}"));
    lines.chain(["\n    ".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    #[test]
    fn the_stack_has_the_users_that_the_command_prints() {
        let Command::NatsUsers(args) = Cli::parse_from(["skep", "nats-users"]).command else {
            panic!("another command")
        };
        let stack = include_str!("../../deploy/nats-stack.conf");
        assert!(stack.contains(&printed(&args)), "`skep nats-users` prints others than deploy/nats-stack.conf has");
    }
}
