//! The users and passwords of skep on NATS: what another generation of them changes in the files of the stack.
//!
//! A user of NATS has one password. So new passwords come with users of other names, and while they are rotated, NATS knows both.

use super::settings::Settings;

/// Who has one. Each secret is `nats-NAME` and holds `skep-NAME:PASSWORD`, in later generations `nats-NAME-2` with `skep-NAME-2:PASSWORD`.
pub(super) const NAMES: [&str; 4] = ["gateway", "queue-worker", "controller", "operator"];

/// Which of them are in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logins {
    /// The generation that the roles use.
    used: u32,
    /// All that NATS accepts, in order.
    accepted: Vec<u32>,
}

impl Logins {
    pub(super) fn of(settings: &Settings) -> Self {
        let mut accepted: Vec<u32> = [settings.login].into_iter().chain(settings.other_login).collect();
        accepted.sort_unstable();
        Self { used: settings.login, accepted }
    }

    fn are_the_first(&self) -> bool {
        self.accepted == [1]
    }

    /// The secrets that NATS needs.
    pub(super) fn secrets(&self) -> Vec<String> {
        let all = self.accepted.iter().flat_map(|generation| NAMES.map(|name| secret(name, *generation)));
        all.collect()
    }

    /// The stack file, or one that adds to it.
    pub(super) fn stack_file(&self, file: &str) -> String {
        if self.are_the_first() {
            return file.to_owned();
        }
        let generations: Vec<String> = self.accepted.iter().map(u32::to_string).collect();
        let mut file = file
            .replace("nats-gateway, nats-queue-worker, nats-controller, nats-operator", &self.secrets().join(", "))
            // A config cannot change under its name.
            .replace(CONFIG, &format!("{CONFIG}-login-{}", generations.join("-")));
        for name in NAMES {
            let (first, used) = (secret(name, 1), secret(name, self.used));
            let declared: String =
                self.accepted.iter().map(|one| format!("  {}: {{ external: true }}\n", secret(name, *one))).collect();
            file = file
                .replace(&format!("  {first}: {{ external: true }}\n"), &declared)
                .replace(&format!("/run/secrets/{first}\n"), &format!("/run/secrets/{used}\n"))
                .replace(&format!("{first}, skep-seal-key]"), &format!("{used}, skep-seal-key]"));
        }
        file
    }

    /// The settings of NATS.
    pub(super) fn nats_settings(&self, settings: &str) -> String {
        if self.are_the_first() {
            return settings.to_owned();
        }
        let mut settings = settings.to_owned();
        for name in NAMES {
            let include = |generation: u32| format!("include ../run/secrets/{}\n", secret(name, generation));
            let included: String = self.accepted.iter().map(|generation| include(*generation)).collect();
            settings = settings.replace(&include(1), &included);
            let Some(block) = block(&settings, name) else { continue };
            let blocks: String = self.accepted.iter().map(|one| of_generation(&block, name, *one)).collect();
            settings = settings.replace(&block, &blocks);
        }
        settings
    }
}

/// The config of the stack file that has the users in it.
const CONFIG: &str = "nats-stack-6";

pub(super) fn secret(name: &str, generation: u32) -> String {
    format!("nats-{}", named(name, generation))
}

/// A name, with the generation if it is not the first.
pub(super) fn named(name: &str, generation: u32) -> String {
    if generation == 1 { name.to_owned() } else { format!("{name}-{generation}") }
}

/// What begins the settings of a user.
fn beginning(name: &str, generation: u32) -> String {
    let user = named(name, generation);
    format!("  {{ user: skep-{user}, password: $skep-{user}, ")
}

/// The settings of a user of the first generation.
fn block(settings: &str, name: &str) -> Option<String> {
    const END: &str = "\n  } }\n";
    let start = settings.find(&beginning(name, 1))?;
    let length = settings[start..].find(END)? + END.len();
    Some(settings[start..start + length].to_owned())
}

fn of_generation(block: &str, name: &str, generation: u32) -> String {
    block.replace(&beginning(name, 1), &beginning(name, generation))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: &str = include_str!("../../../docker-compose.yml");
    const HA: &str = include_str!("../../../deploy/ha.yml");
    const NATS: &str = include_str!("../../../deploy/nats-stack.conf");

    fn logins(login: u32, other_login: Option<u32>) -> Logins {
        Logins::of(&Settings { login, other_login, ..Settings::default() })
    }

    fn check(text: &str, expected: &[(&str, usize)]) {
        for (part, times) in expected {
            assert_eq!(text.matches(part).count(), *times, "{part}");
        }
    }

    #[test]
    fn the_first_ones_are_as_the_files_have_them() {
        let first = logins(1, None);
        assert_eq!((first.stack_file(STACK), first.nats_settings(NATS)), (STACK.to_owned(), NATS.to_owned()));
    }

    #[test]
    fn while_they_are_rotated_nats_knows_both_and_each_role_uses_one() {
        for (used, before) in [(1, logins(1, Some(2))), (2, logins(2, Some(1)))] {
            let role = secret("gateway", used);
            let stack = before.stack_file(STACK);
            check(
                &stack,
                &[
                    (
                        "[nats-gateway, nats-queue-worker, nats-controller, nats-operator, nats-gateway-2, nats-queue-worker-2, nats-controller-2, nats-operator-2]",
                        1,
                    ),
                    ("  nats-controller: { external: true }\n", 1),
                    ("  nats-controller-2: { external: true }\n", 1),
                    ("nats-stack-6-login-1-2", 2),
                    (&format!("SKEP_NATS_USER_PASSWORD_FILE: /run/secrets/{role}\n"), 1),
                    (&format!("basic-auth-password, {role}, skep-seal-key]"), 1),
                ],
            );
            check(&before.stack_file(HA), &[("nats-operator, nats-gateway-2,", 1), ("nats-stack-6-login-1-2", 1)]);
        }
        let settings = logins(1, Some(2)).nats_settings(NATS);
        for name in NAMES {
            let parts = [
                format!("include ../run/secrets/nats-{name}\n"),
                format!("include ../run/secrets/nats-{name}-2\n"),
                format!("user: skep-{name}, password: $skep-{name}, "),
                format!("user: skep-{name}-2, password: $skep-{name}-2, "),
            ];
            parts.iter().for_each(|part| check(&settings, &[(part, 1)]));
        }
        assert_eq!(settings.matches("\n  } }\n").count(), 2 * NATS.matches("\n  } }\n").count());
    }

    #[test]
    fn of_former_ones_nothing_is_left() {
        let later = logins(3, None);
        let (stack, settings) = (later.stack_file(STACK), later.nats_settings(NATS));
        check(&stack, &[("nats-gateway:", 0), ("nats-gateway,", 0), ("nats-gateway-3", 4), ("nats-operator-3", 2)]);
        check(&settings, &[("skep-gateway,", 0), ("user: skep-gateway-3, password: $skep-gateway-3,", 1)]);
        assert_eq!(later.secrets().len(), 4);
    }
}
