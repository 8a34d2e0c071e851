use super::*;

/// A callback of anybody to a port at which skep does not listen.
const USUAL: Wish = Wish { caller: Caller::Any, is_own_port: false };

fn guard(allowances: &[&str]) -> Guard {
    let own = Own { listeners: vec!["127.0.0.1:8080".parse().unwrap()], registry: None };
    Guard::new(allowances.iter().map(|text| text.parse().unwrap()).collect(), vec![Allowance::loopback()], own)
}

fn judge(guard: &Guard, address: &str) -> bool {
    judge_for(guard, address, USUAL)
}

fn judge_for(guard: &Guard, address: &str, wish: Wish) -> bool {
    guard.check("hook.example", address.parse().unwrap(), wish).is_ok()
}

#[test]
fn callers_of_this_machine_have_allowances_of_their_own() {
    let local = Wish { caller: Caller::OfThisMachine, ..USUAL };
    for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        assert!(judge_for(&guard(&[]), address, local) && !judge(&guard(&[]), address), "{address}");
    }
    assert!(!judge_for(&guard(&[]), "10.0.0.1", local));
}

#[test]
fn what_skep_listens_on_is_refused_whatever_is_allowed() {
    let guard = guard(&["loopback", "hook.example", "0.0.0.0"]);
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"] {
        let own = guard.wish(Caller::OfThisMachine, Some(8080));
        assert!(!judge_for(&guard, address, own), "{address}");
        let refused = guard.check("127.0.0.1", address.parse().unwrap(), own).unwrap_err().to_string();
        assert!(refused.contains("skep itself listens there"), "{refused}");
        assert!(judge_for(&guard, address, guard.wish(Caller::Any, Some(8081))), "{address}");
    }
    assert!(judge_for(&guard, "127.0.0.2", guard.wish(Caller::Any, Some(8080))), "another program's");
}

#[test]
fn every_table_reads_whole() {
    for table in [SPECIAL, &[GLOBAL_V6]] {
        assert_eq!(skep_networks::table(table).len(), table.len());
    }
    assert_eq!(guard(&[]).metadata.len(), METADATA.len());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of addresses")]
fn what_is_not_public_is_refused() {
    let refused = [
        // this host, loopback, unspecified
        "0.0.0.0",
        "0.0.0.1",
        "0.255.255.255",
        "127.0.0.1",
        "127.0.0.2",
        "127.1.2.3",
        "127.255.255.255",
        "::",
        "::1",
        // private
        "10.0.0.0",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.20.1.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "fc00::1",
        "fd00::1",
        "fdff:ffff::1",
        // link-local and metadata
        "169.254.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.255.255",
        "fe80::1",
        "fe80::a9fe:a9fe",
        "febf::1",
        "fec0::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        // shared address space, protocol assignments, benchmarks, documentation
        "100.64.0.1",
        "100.127.255.255",
        "192.0.0.1",
        "192.0.0.8",
        "192.0.0.170",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "203.0.113.255",
        "2001:db8::1",
        "3fff::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "100::1",
        "5f00::1",
        // multicast, reserved, broadcast
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "254.1.1.1",
        "255.255.255.255",
        "ff02::1",
        "ff0e::1",
        // 6to4 and its relay, Teredo
        "192.88.99.1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2002:808:808::1",
        "2001:0:7f00:1::",
        "2001::1",
        // an IPv4 address mapped, compatible, translated, through NAT64
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "::127.0.0.1",
        "::10.0.0.1",
        "::8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::10.0.0.1",
        "64:ff9b:1::1",
        // not given out
        "4000::1",
        "8000::1",
        "1000::1",
        "e000::1",
    ];
    assert!(refused.len() >= 60);
    for address in refused {
        assert!(!judge(&guard(&[]), address), "{address}");
    }
}

#[test]
fn what_is_public_is_dialled() {
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "169.255.0.1",
        "172.15.255.255",
        "172.32.0.1",
        "192.0.1.1",
        "192.0.3.1",
        "192.167.255.255",
        "192.169.0.1",
        "198.17.255.255",
        "198.20.0.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "2000::1",
        "2001:200::1",
        "2606:4700::1111",
        "2a00:1450::1",
        "3ffe::1",
    ] {
        assert!(judge(&guard(&[]), address), "{address}");
    }
}

#[test]
fn an_allowance_opens_what_it_says_and_no_more() {
    let loopback = guard(&["loopback"]);
    for address in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
        assert!(judge(&loopback, address), "{address}");
    }
    assert!(!judge(&loopback, "10.0.0.1") && !judge(&loopback, "0.0.0.0"));
    let network = guard(&["10.1.0.0/16", "192.168.7.7"]);
    assert!(judge(&network, "10.1.255.1") && judge(&network, "192.168.7.7"));
    assert!(!judge(&network, "10.2.0.1") && !judge(&network, "192.168.7.8"));
    assert!(judge(&guard(&["private"]), "fd12::1") && !judge(&guard(&["private"]), "127.0.0.1"));
}

#[test]
fn metadata_is_opened_by_its_own_address_only() {
    for broad in ["169.254.0.0/16", "private", "0.0.0.0/0", "::/0"] {
        for address in METADATA {
            assert!(!judge(&guard(&[broad]), address), "{address} by {broad}");
        }
    }
    assert!(judge(&guard(&["169.254.169.254"]), "169.254.169.254"));
}

#[test]
fn a_host_is_trusted_by_its_name_whatever_its_address() {
    let guard = guard(&["hook.internal", "*.svc.example"]);
    let check = |host: &str| guard.check(host, "10.0.0.1".parse().unwrap(), USUAL).is_ok();
    assert!(check("hook.internal") && check("HOOK.internal.") && check("a.svc.example") && check("a.b.svc.example"));
    for other in ["hook.internal.example", "xhook.internal", "svc.example", "asvc.example", "10.0.0.1"] {
        assert!(!check(other), "{other}");
    }
}

#[test]
fn an_allowance_that_cannot_be_read_is_refused() {
    for bad in ["", "10.0.0.0/33", "10.0.0", "300.1.1.1", "a b", "*", "*a", "http://a", "a/8", "::1/129", ".a"] {
        assert!(bad.parse::<Allowance>().is_err(), "{bad}");
    }
}

#[test]
fn the_refusal_names_the_setting() {
    let text = guard(&[]).check("localhost", "127.0.0.1".parse().unwrap(), USUAL).unwrap_err().to_string();
    assert!(text.contains("localhost (127.0.0.1)") && text.contains("--callback-allow"), "{text}");
}
