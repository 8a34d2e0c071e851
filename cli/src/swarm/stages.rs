//! The parts of the stack that are updated one after the other, and a stack file with one of them alone.

/// Each server of NATS by itself, then the controller, which changes streams and the registry, then those that use them.
pub(super) const ORDER: [&str; 7] = ["nats", "nats-1", "nats-2", "nats-3", "controller", "queue-worker", "gateway"];

/// One of three servers.
pub(super) fn is_of_cluster(service: &str) -> bool {
    service.starts_with("nats-")
}

/// A stack file with this service alone. Docker does not touch services that no file has.
pub(super) fn only(file: &str, service: &str) -> String {
    const SERVICES: &str = "\nservices:\n";
    let Some((before, rest)) = file.split_once(SERVICES) else { return file.to_owned() };
    // Up to the next section, which is not indented.
    let mut lines = rest.match_indices('\n').map(|(at, _)| at + 1);
    let end = lines.find(|at| rest[*at..].starts_with(|first: char| first.is_ascii_lowercase()));
    let (services, after) = rest.split_at(end.unwrap_or(rest.len()));
    let mut kept = String::new();
    let mut is_kept = false;
    for line in services.lines() {
        let begins_one = line.starts_with("  ") && line[2..].starts_with(|first: char| first.is_ascii_lowercase());
        if begins_one {
            is_kept = line[2..].split(':').next() == Some(service);
        }
        if is_kept && !line.starts_with("  #") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    if kept.is_empty() {
        return format!("{before}\nservices: {{}}\n{after}");
    }
    format!("{before}{SERVICES}{kept}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: &str = include_str!("../../../docker-compose.yml");
    const HA: &str = include_str!("../../../deploy/ha.yml");

    #[test]
    fn a_file_with_one_service_has_all_that_it_needs_and_no_other() {
        let gateway = only(STACK, "gateway");
        for part in ["\n  gateway:\n", "    command: [gateway]\n", "\nnetworks:\n", "\nsecrets:\n", "\nx-skep: &skep\n"]
        {
            assert_eq!(gateway.matches(part).count(), 1, "{part}");
        }
        for other in ["\n  nats:\n    <<", "  controller:", "  queue-worker:\n", "  prometheus:\n    <<"] {
            assert_eq!(gateway.matches(other).count(), 0, "{other}");
        }
        let second = only(HA, "nats-2");
        assert!(second.contains("--name, nats-2,") && !second.contains("--name, nats-1,"), "{second}");
        assert!(second.contains("\nvolumes:\n  nats-1:\n") && !second.contains("\n  gateway: *role"), "{second}");
        assert!(only(STACK, "nats-2").contains("\nservices: {}\n"));
        assert!(only(HA, "gateway").contains("\n  gateway: *role\n"));
    }

    #[test]
    fn no_service_needs_an_anchor_of_another() {
        for file in [STACK, HA] {
            for service in ORDER {
                let alone = only(file, service);
                let used = alone
                    .split('*')
                    .skip(1)
                    .filter_map(|rest| rest.split(|end: char| !end.is_ascii_lowercase() && end != '-').next());
                for anchor in used.filter(|anchor| !anchor.is_empty()) {
                    assert!(alone.contains(&format!("&{anchor}")), "{service} needs {anchor}");
                }
            }
        }
    }

    #[test]
    fn every_service_that_is_updated_is_in_the_stack() {
        for service in ORDER {
            let file = if is_of_cluster(service) { HA } else { STACK };
            assert!(file.contains(&format!("\n  {service}:\n")), "{service}");
        }
    }
}
