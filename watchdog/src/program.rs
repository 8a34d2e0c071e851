//! `fwatchdog` as a program: reads the settings, binds, runs, drains.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    thread,
};

use anyhow::Context;
use rustix::process::setsid;
use skep_sandbox::Gap;
use tokio::runtime::Builder;

use crate::{
    config::{Settings, Stop},
    ends,
    health::is_healthy,
    plan::Plan,
    server::{Listeners, Shutdown, run},
    supervise::{supervise, with_writers_of_stdin},
};

/// All of `fwatchdog`, from its arguments to its exit code. `skep` runs it too, when it is started by that name.
pub fn program() -> ExitCode {
    let settings = match Settings::read(env::args_os()) {
        Ok(settings) => settings,
        Err(Stop::Asked(text)) => return say(&mut io::stdout(), text.as_bytes(), 0),
        Err(Stop::Refused(line)) => return say(&mut io::stderr(), format!("fwatchdog: {line}\n").as_bytes(), 2),
    };
    if settings.run_healthcheck {
        return check_health(&settings);
    }
    if settings.check_sandbox {
        return check_sandbox(&settings);
    }
    if settings.supervise {
        return match supervise_program(&settings) {
            Ok(code) => code,
            Err(error) => say(&mut io::stderr(), &settings.line(&format!("{error:#}")), 1),
        };
    }
    match settings.plan(env::vars_os()).map(|plan| serve(&settings, plan)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => say(&mut io::stderr(), &settings.line(&format!("{error:#}")), 1),
        Err(error) => say(&mut io::stderr(), &settings.line(&error.to_string()), 2),
    }
}

fn check_health(settings: &Settings) -> ExitCode {
    match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) if runtime.block_on(is_healthy(settings)) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => say(&mut io::stderr(), format!("fwatchdog: no runtime: {error}\n").as_bytes(), 1),
    }
}

/// Gives up what the program is not to have, before the first thread, so that all threads are alike.
fn settle(settings: &Settings) -> anyhow::Result<()> {
    if settings.lifeline.is_some() {
        // The terminal in which skep was started is no function's to read, to write, or to type into.
        setsid().context("a session of its own cannot be begun")?;
    }
    settings.give_way().context("nice cannot be set")?;
    if settings.sandbox {
        enter_sandbox(settings).context("the sandbox cannot be entered")?;
    }
    Ok(())
}

fn supervise_program(settings: &Settings) -> anyhow::Result<ExitCode> {
    settle(settings)?;
    let runtime = Builder::new_current_thread().max_blocking_threads(4).enable_all().build()?;
    let code = runtime.block_on(async {
        let shutdown = Shutdown::default();
        ends::on_signals(&shutdown)?;
        if settings.lifeline.is_some() {
            with_writers_of_stdin(shutdown.now.clone())?;
        }
        supervise(settings, &shutdown).await
    })?;
    Ok(u8::try_from(code).unwrap_or(1).into())
}

fn serve(settings: &Settings, plan: Plan) -> anyhow::Result<()> {
    settle(settings)?;
    let mut runtime = if plan.has_own_threads() {
        Builder::new_current_thread()
    } else {
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(thread::available_parallelism().map_or(1, usize::from).min(4));
        runtime
    };
    let runtime = runtime.max_blocking_threads(4).enable_all().build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::default();
        ends::on_signals(&shutdown)?;
        if settings.lifeline.is_some() {
            ends::with_stdin(shutdown.now.clone())?;
        }
        let address = settings.listen_address;
        let bind = |port| {
            skep_http::listen((address, port).into()).with_context(|| format!("cannot listen on {address}:{port}"))
        };
        let calls = bind(settings.port)?;
        let metrics = match settings.metrics_port {
            0 => None,
            port => Some(bind(port)?),
        };
        say(&mut io::stderr(), &settings.line(&format!("Listening on {}", calls.local_addr()?)), 0);
        run(plan, Listeners { calls, metrics }, shutdown).await
    })
}

fn enter_sandbox(settings: &Settings) -> anyhow::Result<Vec<Gap>> {
    let own_folders = [env::current_dir()?, env::temp_dir()];
    Ok(settings.sandbox(own_folders).enter()?)
}

fn check_sandbox(settings: &Settings) -> ExitCode {
    match enter_sandbox(settings) {
        Ok(gaps) => {
            let lines: String = gaps.iter().map(|gap| format!("{gap}\n")).collect();
            say(&mut io::stdout(), lines.as_bytes(), 0)
        }
        Err(error) => say(&mut io::stderr(), format!("fwatchdog: {error:#}\n").as_bytes(), 1),
    }
}

fn say(stream: &mut impl Write, text: &[u8], code: u8) -> ExitCode {
    // A closed stream is no reason to end otherwise.
    let _ = stream.write_all(text);
    code.into()
}
