//! The settings, by the names that OpenFaaS gave them.

use std::{
    collections::HashSet,
    error::Error as _,
    ffi::{OsStr, OsString},
    io,
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};

use clap::{ArgAction, Parser, ValueEnum, builder::BoolishValueParser, error::ContextKind, value_parser};
use skep_protocol::{DurationError, parse_duration};
use skep_sandbox::Sandbox;

use crate::{
    log::before_the_log,
    plan::{Plan, SettingError},
};

/// Turns any program into a function: HTTP in, STDIN and STDOUT (or HTTP) to the program.
///
/// Each setting is an environment variable of the same name.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "fwatchdog",
    version,
    hide_possible_values = true,
    rename_all_env = "snake_case",
    rename_all = "snake_case"
)]
pub(crate) struct Settings {
    /// The program and its arguments, split by the shell's quoting rules; no shell is involved.
    #[arg(long, env, hide_env_values = true)]
    pub(crate) fprocess: Option<String>,
    /// Same as fprocess, and wins over it.
    #[arg(long, env, hide_env_values = true)]
    pub(crate) function_process: Option<String>,
    /// fork: a process per request, as in OpenFaaS's classic watchdog; serializing: the same as in its of-watchdog; streaming: the answer as it comes; http: one program that speaks HTTP; static: files of static_path.
    #[arg(long, env)]
    pub(crate) mode: Option<ModeName>,
    /// Address to listen on.
    #[arg(long, env, default_value = "0.0.0.0")]
    pub(crate) listen_address: IpAddr,
    /// Port to listen on; 0 takes a free one and names it on STDERR.
    #[arg(long, env, default_value_t = 8080)]
    pub(crate) port: u16,
    /// Port of /metrics; 0 turns it off.
    #[arg(long, env, default_value_t = 8081)]
    pub(crate) metrics_port: u16,
    /// How long a client may take to send a request's head, or the next piece of its body.
    #[arg(long, env, default_value = "30s", value_parser = duration)]
    pub(crate) read_timeout: Duration,
    /// How long a client may take to read the next piece of an answer, and running calls to end after a shutdown began.
    #[arg(long, env, default_value = "30s", value_parser = duration)]
    pub(crate) write_timeout: Duration,
    /// How long a call may run; 0 is no limit [default: 0 in fork and static mode, else 30s].
    #[arg(long, env, value_parser = duration)]
    pub(crate) exec_timeout: Option<Duration>,
    /// How long calls are still accepted after a shutdown began [default: write_timeout].
    #[arg(long, env, value_parser = duration)]
    pub(crate) healthcheck_interval: Option<Duration>,
    /// Log what the function answers.
    #[arg(long, env, default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) write_debug: bool,
    /// Pass the request's metadata to the process as variables Http_* [default: true, or false if prefork is set].
    #[arg(long, env, action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) cgi_headers: Option<bool>,
    /// The most processes that are started in advance and wait for requests; 0 is none [default: 8 if cgi_headers is set to false, else 0].
    #[arg(long, env)]
    pub(crate) prefork: Option<usize>,
    /// The output begins with header lines and an empty line, like that of a CGI program.
    #[arg(long, env, default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) cgi_response: bool,
    /// An answer of the fork mode with more bytes is sent as it comes; -1 is no limit.
    #[arg(long, env, default_value_t = 16 << 20, allow_negative_numbers = true)]
    pub(crate) output_buffer_size: i64,
    /// The most bytes of a request's body that is read whole (marshal_request, http_buffer_req_body); beyond that 413; -1 is no limit.
    #[arg(long, env, default_value_t = 64 << 20, allow_negative_numbers = true)]
    pub(crate) input_buffer_size: i64,
    /// Content type of each answer of a process [default: in fork mode the request's, else detected from the output; application/octet-stream in serializing and streaming mode].
    #[arg(long, env)]
    pub(crate) content_type: Option<String>,
    /// Merge STDERR into the answer; else it goes to the log [default: true in fork mode, false in serializing and streaming mode].
    #[arg(long, env, action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) combine_output: Option<bool>,
    /// How many calls may run at once; 0 is no limit.
    #[arg(long, env, default_value_t = 0)]
    pub(crate) max_inflight: usize,
    /// How long a call beyond max_inflight waits for its turn before it is refused.
    #[arg(long, env, default_value = "0s", value_parser = duration)]
    pub(crate) max_inflight_wait: Duration,
    /// How many processes may run calls at once; further calls wait for their turn until their time is up. 0 is no limit (fork mode).
    #[arg(long, env, default_value_t = 256)]
    pub(crate) max_processes: usize,
    /// How much this process and everything that it starts yields to other processes, as in `nice -n`: 0 to 19.
    #[arg(long, env, default_value_t = 0, value_parser = value_parser!(u8).range(0..=19))]
    pub(crate) nice: u8,
    /// Do not write the lock file /tmp/.lock.
    #[arg(long, env, default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) suppress_lock: bool,
    /// Where the program of the http mode listens [default: a free port, passed to it as PORT].
    #[arg(long, env)]
    pub(crate) upstream_url: Option<String>,
    /// Same as upstream_url, and wins over it.
    #[arg(long, env)]
    pub(crate) http_upstream_url: Option<String>,
    /// Read a request's body whole before it is sent to the program, so that its length is known.
    #[arg(long, env, default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) http_buffer_req_body: bool,
    /// Same as http_buffer_req_body.
    #[arg(long, env, default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) buffer_http: bool,
    /// A path of the program that answers 2xx when it is ready (http mode).
    #[arg(long, env)]
    pub(crate) ready_path: Option<String>,
    /// Put the date and the name of the stream before the function's log lines.
    #[arg(long, env, default_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) prefix_logs: bool,
    /// Longest log line in bytes, longer ones are split; -1 is no limit.
    #[arg(long, env, default_value_t = 65536, allow_negative_numbers = true)]
    pub(crate) log_buffer_size: i64,
    /// text, or json: one document per line with time, stream, call_id and text.
    #[arg(long, env, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// How many lines of the function are logged per second; further ones are dropped and counted. 0 is no limit.
    #[arg(long, env, default_value_t = 5000)]
    pub(crate) log_rate: u32,
    /// Put the call id before the function's log lines (fork mode, text).
    #[arg(long, env, default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) log_callid: bool,
    /// Begin each log line with its call id and its trace id between two characters U+001E, for the program that reads the log.
    #[arg(long, env = "SKEP_LOG_TAGS", hide = true, default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) log_tags: bool,
    /// Log the headers of each request, without secrets.
    #[arg(long, env, default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) debug_headers: bool,
    /// Pass headers and body to the process as one JSON document.
    #[arg(long, env, default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) marshal_request: bool,
    /// Not supported: true is refused.
    #[arg(long, env, default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) jwt_auth: bool,
    /// Directory of the static mode.
    #[arg(long, env, default_value = "/home/app/public")]
    pub(crate) static_path: PathBuf,
    /// Static mode does not serve files whose names begin with a dot, nor links that lead out of static_path; false serves them too.
    #[arg(long, env, default_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(crate) static_guard: bool,
    /// `stdin`: end with all processes when STDIN ends, because its owner is then gone.
    #[arg(long, env)]
    pub(crate) lifeline: Option<Lifeline>,
    /// The tag by which the starter of this process knows it.
    #[arg(long, env = skep_process::ProcessTag::VARIABLE, hide = true)]
    pub(crate) process_tag: Option<String>,
    /// Give up all rights that the function does not need: it can write only to its working folder, TMPDIR and --writable, has no capabilities, and cannot signal other processes.
    #[arg(long)]
    pub(crate) sandbox: bool,
    /// A folder that the function cannot read in the sandbox.
    #[arg(long)]
    pub(crate) hidden: Option<PathBuf>,
    /// A folder that the function can read, even in the hidden one; may be repeated.
    #[arg(long)]
    pub(crate) readable: Vec<PathBuf>,
    /// A folder that the function can write to, even in the hidden one; may be repeated.
    #[arg(long)]
    pub(crate) writable: Vec<PathBuf>,
    /// Only run fprocess with the STDOUT and STDERR of the watchdog, without HTTP; it ends with all that it started.
    #[arg(long)]
    pub supervise: bool,
    /// With --supervise: the program reads the STDIN of the watchdog.
    #[arg(long = "share-stdin", requires = "supervise")]
    pub(crate) share_stdin: bool,
    /// Only print the parts of the sandbox that this machine does not support, one a line.
    #[arg(long = "check-sandbox")]
    pub(crate) check_sandbox: bool,
    /// Exit with 0 if the watchdog on this machine is healthy, else with 1.
    #[arg(long = "run-healthcheck")]
    pub(crate) run_healthcheck: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeName {
    Fork,
    Serializing,
    Streaming,
    Http,
    Static,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lifeline {
    Stdin,
}

/// Why the start stops, in one line; or text that was asked for.
#[derive(Debug)]
pub(crate) enum Stop {
    Asked(String),
    Refused(String),
}

impl Settings {
    /// Reads flags and environment; `-run-healthcheck` and `-version` work with one dash too, as in OpenFaaS.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Stop> {
        let arguments = arguments.into_iter().map(|argument| match argument.to_str() {
            Some("-run-healthcheck") => "--run-healthcheck".into(),
            Some("-version") => "--version".into(),
            _ => argument,
        });
        Self::try_parse_from(arguments).map_err(|error| {
            if error.use_stderr() { Stop::Refused(one_line(&error)) } else { Stop::Asked(error.to_string()) }
        })
    }

    /// Gives way to other processes as far as that is asked for; threads and processes that are started from then on do so too.
    pub(crate) fn give_way(&self) -> io::Result<()> {
        if self.nice > 0 {
            rustix::process::nice(self.nice.into())?;
        }
        Ok(())
    }

    /// What the function may still do in the sandbox, with its working folder and that of its temporary files.
    pub(crate) fn sandbox(&self, own_folders: impl IntoIterator<Item = PathBuf>) -> Sandbox {
        let writable = self.writable.iter().cloned().chain(own_folders).collect();
        Sandbox { hidden: self.hidden.clone(), readable: self.readable.clone(), writable }
    }

    /// A line for STDERR before there is a log, or after it.
    pub(crate) fn line(&self, text: &str) -> Vec<u8> {
        before_the_log(self.log_format, text)
    }

    /// Checks the settings against each other; `environment` are the names of the variables that the function inherits.
    pub(crate) fn plan(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Plan, SettingError> {
        let (mut own, mut path) = (HashSet::new(), OsString::new());
        for (name, value) in environment {
            if name == "PATH" {
                path = value;
            } else if name.as_encoded_bytes().starts_with(b"Http_") {
                own.insert(name);
            }
        }
        Plan::new(self, own, &path)
    }
}

fn duration(text: &str) -> Result<Duration, DurationError> {
    parse_duration(text)
}

/// `setting: what is wrong with it`, out of clap's page.
fn one_line(error: &clap::Error) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string);
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let Some(argument) = context(ContextKind::InvalidArg) else {
        return first;
    };
    let name = argument.trim_start_matches('-').split([' ', '=']).next().unwrap_or_default().to_owned();
    match (error.source(), context(ContextKind::InvalidValue)) {
        (Some(source), _) => format!("{name}: {source}"),
        (None, Some(value)) => format!("{name}: {value:?} is not a value that it can have"),
        (None, None) => first,
    }
}

/// Whether a variable of the function's own environment has this name.
pub(crate) fn contains(names: &HashSet<OsString>, name: &str) -> bool {
    names.contains(OsStr::new(name))
}
