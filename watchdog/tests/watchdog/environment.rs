//! Random requests against a real process that prints its environment, compared with a model that shares no code with the watchdog.

use std::{collections::BTreeMap, env::vars_os};

use fastrand::Rng;

use crate::{client::send_raw, support::Watchdog};

const SEED: u64 = 20261124;
const TRICKY: [&str; 16] = [
    "proxy",
    "PROXY",
    "method",
    "path",
    "Query",
    "ContentLength",
    "x-own",
    "X-Own",
    "x_own",
    "x-a-b",
    "X-A-b",
    "x-a_b",
    "x_a_b",
    "xab",
    "-",
    "X--A",
];

type Variables = BTreeMap<Vec<u8>, Vec<u8>>;

struct Sent {
    method: &'static str,
    path: Vec<u8>,
    query: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

#[test]
fn random_requests_become_the_variables_of_the_model() {
    let own = [("Http_X_Own", "mine"), ("Http_Host", "mine")];
    let watchdog = Watchdog::fork("env -0", &own);
    let mut random = Rng::with_seed(SEED);
    for number in 0..200 {
        let sent = Sent::random(&mut random);
        let answer = send_raw(watchdog.address, &sent.bytes());
        let text = String::from_utf8_lossy(&sent.bytes()).into_owned();
        assert_eq!(answer.status, 200, "request {number}: {text:?}");
        let mut expected = sent.variables();
        expected.extend(own.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(printed(&answer.body), shown(&expected), "request {number}: {text:?}");
    }
}

impl Sent {
    fn random(random: &mut Rng) -> Self {
        let pieces =
            ["/", "a", "%20", "%2f", "%00", "%0a", "%c3%a4", "%FF", "%", "%4", "%zz", ".", "..", "+", "=", ":"];
        let mut some = |least: usize, pieces: &[&str]| -> Vec<u8> {
            (0..random.usize(least..12)).flat_map(|_| random.choice(pieces).unwrap().bytes()).collect()
        };
        let path = [b"/", &some(0, &pieces)[..]].concat();
        let query = some(0, &["a", "=", "&", "%20", "%00", "?", "/", "+"]);
        let body = some(0, &["x", "\0"]);
        Self {
            method: random.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]).unwrap(),
            path,
            query: random.bool().then_some(query),
            headers: (0..random.usize(0..20)).map(|_| (name(random), value(random))).collect(),
            body,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} ", self.method).into_bytes();
        bytes.extend(&self.path);
        if let Some(query) = &self.query {
            bytes.push(b'?');
            bytes.extend(query);
        }
        bytes.extend(b" HTTP/1.1\r\nHost: there\r\nConnection: close\r\n");
        bytes.extend(format!("Content-Length: {}\r\n", self.body.len()).bytes());
        for (name, value) in &self.headers {
            bytes.extend(name.bytes());
            bytes.push(b':');
            bytes.extend(value);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }

    /// What the contract says, without the variables of the function's own.
    fn variables(&self) -> Variables {
        let mut variables = Variables::new();
        for (name, value) in &self.headers {
            let clean = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
            let fact = ["proxy", "method", "path", "query", "host"].contains(&name.to_lowercase().as_str());
            if clean && !fact {
                let words: Vec<String> = name.split('-').map(capitalized).collect();
                let value = value.trim_ascii().to_vec();
                variables.entry(format!("Http_{}", words.join("_")).into()).or_insert(value);
            }
        }
        let length = self.body.len().to_string();
        variables.insert("Http_Connection".into(), "close".into());
        variables.insert("Http_Method".into(), self.method.into());
        variables.insert("Http_ContentLength".into(), length.clone().into());
        variables.insert("Http_Content_Length".into(), length.into());
        variables.insert("Http_Path".into(), decoded(&self.path));
        if let Some(query) = self.query.as_ref().filter(|query| !query.is_empty()) {
            variables.insert("Http_Query".into(), query.clone());
        }
        variables
    }
}

fn name(random: &mut Rng) -> String {
    if random.bool() {
        return (*random.choice(&TRICKY).unwrap()).to_owned();
    }
    let letters = b"abcXYZ019-_.!#$%&'*+^`|~";
    (0..random.usize(1..8)).map(|_| char::from(*random.choice(letters).unwrap())).collect()
}

/// With every byte that a header's value can have.
fn value(random: &mut Rng) -> Vec<u8> {
    let bytes: Vec<u8> = (b' '..=b'~').chain(0x80..=0xff).chain([b'\t'; 5]).collect();
    (0..random.usize(0..30)).map(|_| *random.choice(&bytes).unwrap()).collect()
}

fn capitalized(word: &str) -> String {
    let lower = word.to_lowercase();
    let mut letters = lower.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut position = 0;
    while position < path.len() {
        let digits = path.get(position + 1..position + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.filter(|digits| path[position] == b'%' && *digits != b"00");
        decoded.push(
            digits.map_or(path[position], |digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap()),
        );
        position += if digits.is_some() { 3 } else { 1 };
    }
    decoded
}

/// What `env -0` printed of variables whose names begin with `http`, in any case, and that are not this test's own.
fn printed(output: &[u8]) -> Vec<String> {
    let mut lines: Vec<&[u8]> = output.split(|byte| *byte == 0).collect();
    lines.retain(|line| line.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(b"http")));
    for (name, value) in vars_os() {
        let inherited = [name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat();
        lines.retain(|line| *line != inherited);
    }
    lines.sort_unstable();
    lines.into_iter().map(|line| line.escape_ascii().to_string()).collect()
}

fn shown(variables: &Variables) -> Vec<String> {
    let mut lines: Vec<Vec<u8>> =
        variables.iter().map(|(name, value)| [&name[..], b"=", &value[..]].concat()).collect();
    lines.sort_unstable();
    lines.into_iter().map(|line| line.escape_ascii().to_string()).collect()
}
