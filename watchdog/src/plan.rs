//! The checked settings: what the watchdog is going to do.

use std::{
    collections::HashSet,
    env::split_paths,
    ffi::{OsStr, OsString},
    path::PathBuf,
    time::Duration,
};

use http::{
    HeaderValue, Uri,
    uri::{Authority, Scheme},
};
use rustix::fs::{Access, access};
use skep_process::ProcessTag;
use thiserror::Error;

use crate::config::{LogFormat, ModeName, Settings};

/// How many processes are started beforehand at most where that is safe and nothing is said.
const DEFAULT_PREFORK: usize = 8;

/// Of the modes that OpenFaaS's of-watchdog has; its classic watchdog sets no limit.
const EXEC_TIMEOUT: Duration = Duration::from_secs(30);
/// Of serializing and streaming mode; the classic watchdog looks at request and output.
const CONTENT_TYPE: &str = "application/octet-stream";

/// A setting that cannot be; its message names it.
#[derive(Debug, Error)]
#[error("{setting}: {problem}")]
pub(crate) struct SettingError {
    setting: &'static str,
    problem: String,
}

/// What to run, and how.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) command: Vec<String>,
    /// Where the command's program is, if it had to be searched for: once, and not at each start.
    pub(crate) program: Option<PathBuf>,
    pub(crate) mode: Mode,
    pub(crate) read_timeout: Duration,
    /// The largest body that is read whole.
    pub(crate) input_buffer: usize,
    pub(crate) write_timeout: Duration,
    /// `None` is for ever.
    pub(crate) exec_timeout: Option<Duration>,
    pub(crate) healthcheck_interval: Duration,
    pub(crate) max_inflight: Option<usize>,
    pub(crate) max_inflight_wait: Duration,
    pub(crate) lock_file: bool,
    pub(crate) debug_headers: bool,
    pub(crate) log: LogPlan,
    pub(crate) inherited_tag: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct LogPlan {
    pub(crate) format: LogFormat,
    /// Date and name of the stream go before each line.
    pub(crate) prefix: bool,
    /// The call id goes before each line of the function's, in text; JSON has it anyway.
    pub(crate) call_id: bool,
    /// Each line begins with a tag that names its call, for the program that reads the log.
    pub(crate) tags: bool,
    /// In bytes.
    pub(crate) max_line: usize,
    /// Lines of the function's per second.
    pub(crate) rate: Option<u32>,
}

#[derive(Clone, Debug)]
pub(crate) enum Mode {
    Fork(ForkPlan),
    Http(HttpPlan),
    Static(StaticPlan),
}

#[derive(Clone, Debug)]
pub(crate) struct StaticPlan {
    pub(crate) directory: PathBuf,
    /// Hidden files and links that lead out of the directory are left out.
    pub(crate) is_guarded: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ForkPlan {
    /// The most processes that run calls.
    pub(crate) processes: Option<usize>,
    /// The most processes that are started before their requests.
    pub(crate) prefork: usize,
    /// The answer is sent as it comes, not as a whole.
    pub(crate) streaming: bool,
    /// The largest answer that is sent whole.
    pub(crate) output_buffer: usize,
    pub(crate) cgi_response: bool,
    pub(crate) cgi_headers: bool,
    pub(crate) marshal_request: bool,
    pub(crate) combine_output: bool,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) write_debug: bool,
    /// Variables of the function's own that begin with `Http_`; a request does not change them.
    pub(crate) own_variables: HashSet<OsString>,
}

#[derive(Clone, Debug)]
pub(crate) struct HttpPlan {
    /// `None`: a free port is found at each start.
    pub(crate) upstream: Option<Upstream>,
    pub(crate) ready_path: Option<String>,
    pub(crate) buffer_body: bool,
}

/// Where the program of the http mode listens.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) authority: Authority,
    /// Goes before the path of each request; without a slash at its end.
    pub(crate) prefix: String,
}

impl Plan {
    pub(crate) fn new(
        settings: &Settings,
        own_variables: HashSet<OsString>,
        path: &OsStr,
    ) -> Result<Self, SettingError> {
        if settings.jwt_auth {
            return Err(refuse("jwt_auth", "is not supported"));
        }
        let name = mode_name(settings);
        let mode = mode(name, settings, own_variables)?;
        let command = if matches!(mode, Mode::Static(_)) { Vec::new() } else { command(settings)? };
        let exec_timeout = settings.exec_timeout.unwrap_or(match name {
            ModeName::Fork | ModeName::Static => Duration::ZERO,
            ModeName::Serializing | ModeName::Streaming | ModeName::Http => EXEC_TIMEOUT,
        });
        Ok(Self {
            program: command.first().and_then(|program| find(program, path)),
            command,
            mode,
            read_timeout: settings.read_timeout,
            input_buffer: size("input_buffer_size", settings.input_buffer_size, 0)?,
            write_timeout: settings.write_timeout,
            exec_timeout: Some(exec_timeout).filter(|limit| !limit.is_zero()),
            healthcheck_interval: settings.healthcheck_interval.unwrap_or(settings.write_timeout),
            max_inflight: Some(settings.max_inflight).filter(|limit| *limit > 0),
            max_inflight_wait: settings.max_inflight_wait,
            lock_file: !settings.suppress_lock,
            debug_headers: settings.debug_headers,
            log: LogPlan {
                format: settings.log_format,
                prefix: settings.prefix_logs,
                call_id: settings.log_callid,
                tags: settings.log_tags,
                max_line: size("log_buffer_size", settings.log_buffer_size, 1)?,
                rate: Some(settings.log_rate).filter(|rate| *rate > 0),
            },
            inherited_tag: settings.process_tag.clone(),
        })
    }

    /// Whether calls run on threads of their own, and not on those of the runtime that [`crate::run`] runs in.
    pub(crate) fn has_own_threads(&self) -> bool {
        matches!(self.mode, Mode::Fork(_))
    }

    /// The tag of this run; those of the calls are within it.
    pub(crate) fn tag(&self) -> ProcessTag {
        ProcessTag::new(self.inherited_tag.as_deref())
    }
}

fn refuse(setting: &'static str, problem: impl Into<String>) -> SettingError {
    SettingError { setting, problem: problem.into() }
}

pub(crate) fn command(settings: &Settings) -> Result<Vec<String>, SettingError> {
    let text = given(&settings.function_process).or(given(&settings.fprocess));
    let Some(text) = text else {
        return Err(refuse("fprocess", "is required: the program to run"));
    };
    split_words(text)
}

/// By the shell's quoting rules; one word at least.
pub(crate) fn split_words(text: &str) -> Result<Vec<String>, SettingError> {
    match shlex::split(text) {
        Some(words) if !words.is_empty() => Ok(words),
        _ => Err(refuse("fprocess", "has a quote without its end")),
    }
}

/// The program that a shell would find by this name; `None` where only the start can tell.
fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    if name.contains('/') {
        return None;
    }
    for folder in split_paths(path) {
        if !folder.is_absolute() {
            return None;
        }
        let program = folder.join(name);
        if program.is_file() && access(&program, Access::EXEC_OK).is_ok() {
            return Some(program);
        }
    }
    None
}

fn upstream_url(settings: &Settings) -> Option<&str> {
    given(&settings.http_upstream_url).or(given(&settings.upstream_url))
}

fn mode_name(settings: &Settings) -> ModeName {
    let usual = if upstream_url(settings).is_some() { ModeName::Http } else { ModeName::Fork };
    settings.mode.unwrap_or(usual)
}

fn mode(name: ModeName, settings: &Settings, own_variables: HashSet<OsString>) -> Result<Mode, SettingError> {
    match name {
        ModeName::Fork | ModeName::Serializing | ModeName::Streaming => {
            let (cgi_headers, prefork) = prefork(settings)?;
            let classic = name == ModeName::Fork;
            let content_type = given(&settings.content_type).or((!classic).then_some(CONTENT_TYPE));
            let content_type = content_type
                .map(|text| text.parse().map_err(|_| refuse("content_type", "is not a header value")))
                .transpose()?;
            Ok(Mode::Fork(ForkPlan {
                processes: Some(settings.max_processes).filter(|limit| *limit > 0),
                prefork,
                streaming: name == ModeName::Streaming,
                output_buffer: size("output_buffer_size", settings.output_buffer_size, 0)?,
                cgi_response: settings.cgi_response,
                cgi_headers,
                marshal_request: settings.marshal_request,
                combine_output: settings.combine_output.unwrap_or(classic),
                content_type,
                write_debug: settings.write_debug,
                own_variables,
            }))
        }
        ModeName::Http => {
            let ready_path = given(&settings.ready_path).map(str::to_owned);
            if ready_path.as_ref().is_some_and(|path| !path.starts_with('/') || path.parse::<Uri>().is_err()) {
                return Err(refuse("ready_path", "is not a path that begins with /"));
            }
            Ok(Mode::Http(HttpPlan {
                upstream: upstream_url(settings).map(parse_upstream).transpose()?,
                ready_path,
                buffer_body: settings.http_buffer_req_body || settings.buffer_http,
            }))
        }
        ModeName::Static if settings.static_path.is_dir() => {
            Ok(Mode::Static(StaticPlan { directory: settings.static_path.clone(), is_guarded: settings.static_guard }))
        }
        ModeName::Static => Err(refuse("static_path", format!("{:?} is not a directory", settings.static_path))),
    }
}

fn parse_upstream(text: &str) -> Result<Upstream, SettingError> {
    let uri: Uri = text.parse().map_err(|_| refuse("upstream_url", format!("{text:?} is not a URL")))?;
    let (Some(authority), Some(scheme)) = (uri.authority(), uri.scheme()) else {
        return Err(refuse("upstream_url", format!("{text:?} is not a URL with http://")));
    };
    if *scheme != Scheme::HTTP {
        return Err(refuse("upstream_url", format!("{text:?} is not a URL with http://")));
    }
    Ok(Upstream { authority: authority.clone(), prefix: uri.path().trim_end_matches('/').to_owned() })
}

/// Whether processes get `Http_*` variables, and how many are started beforehand: those cannot have such variables.
fn prefork(settings: &Settings) -> Result<(bool, usize), SettingError> {
    match (settings.cgi_headers, settings.prefork) {
        (Some(true), Some(1..)) => {
            Err(refuse("prefork", "goes only with cgi_headers=false: a process cannot get variables after its start"))
        }
        (Some(false), None) => Ok((false, DEFAULT_PREFORK)),
        (cgi_headers, prefork) => {
            let prefork = prefork.unwrap_or(0);
            Ok((cgi_headers.unwrap_or(prefork == 0), prefork))
        }
    }
}

fn size(setting: &'static str, size: i64, least: i64) -> Result<usize, SettingError> {
    match usize::try_from(size) {
        _ if size == -1 => Ok(usize::MAX),
        Ok(bytes) if size >= least => Ok(bytes),
        _ => Err(refuse(setting, format!("is neither -1 nor at least {least}"))),
    }
}

/// An empty variable is one that is not set, as compose files write it.
fn given(setting: &Option<String>) -> Option<&str> {
    setting.as_deref().map(str::trim).filter(|text| !text.is_empty())
}
