//! The users of a NATS server, one for each role, with the permissions that [`Role`] lists.

use std::fmt::Write;

use skep_bus::{Permissions, Role};
use skep_protocol::Subjects;
use skep_queue_worker::SubjectPattern;

use crate::{args::NatsUsersArgs, output};

/// `skep nats-users`.
pub(crate) fn print(args: &NatsUsersArgs) {
    output::line(printed(args));
}

/// The setting `users`. The passwords are variables, named after the users.
fn printed(args: &NatsUsersArgs) -> String {
    let users = users(&args.subject_prefix, &args.callback_subjects, |role| format!("${}", role.user()));
    format!("users: [\n{users}]")
}

/// One user for each role, as they stand in a server's settings.
pub(crate) fn users(
    subjects: &Subjects,
    callback_subjects: &[SubjectPattern],
    password: impl Fn(Role) -> String,
) -> String {
    Role::ALL.into_iter().fold(String::new(), |mut text, role| {
        let Permissions { mut publish, subscribe, not_publish, not_subscribe } = role.permissions(subjects);
        if role == Role::QueueWorker {
            publish.extend(callback_subjects.iter().map(SubjectPattern::to_string));
        }
        let (name, password) = (role.user(), password(role));
        let (publish, subscribe) = (rule(&publish, &not_publish), rule(&subscribe, &not_subscribe));
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "  {{ user: {name}, password: {password}, permissions: {{\n    \
             publish: {{ {publish} }}\n    subscribe: {{ {subscribe} }}\n  }} }}\n"
        );
        text
    })
}

pub(crate) fn rule(allow: &[String], deny: &[String]) -> String {
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
