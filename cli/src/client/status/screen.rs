//! The live view: a screen that is drawn anew at each look and each key.

use std::{
    io::{self, Write},
    pin::pin,
    time::Duration,
};

use futures_util::future::Either;
use rustix::termios::tcgetwinsize;
use skep_protocol::{InstallationStatus, NatsHealth};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use super::{
    detail,
    figures::{Order, Row, rows, table_of},
    keys::{Key, Keys},
    look, problems, servers,
};
use crate::{
    client::{api::Api, table},
    failure::{Failure, Result},
    signals,
};

/// Another screen than the one of the shell, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const REST_OF_SCREEN: &str = "\x1b[J";
const REVERSE: &str = "\x1b[7m";
const PLAIN: &str = "\x1b[0m";
/// Lines that are not rows: the title, a problem, the headings, and the keys.
const OTHER_LINES: usize = 4;
/// How many problems of NATS have a line.
const NATS_LINES: usize = 3;
/// Shown of a function until the answer is there.
const LOOKING: &str = "…";

/// What is on the screen.
struct View {
    before: InstallationStatus,
    now: InstallationStatus,
    nats: Option<NatsHealth>,
    order: Order,
    chosen: usize,
    /// The function that is shown, with what there is to say of it.
    detail: Option<(String, Vec<String>)>,
    /// Why the last look failed.
    problem: Option<String>,
}

/// What a look has found.
struct Looked {
    /// None of a look at one function alone.
    status: Option<(Result<InstallationStatus>, Option<NatsHealth>)>,
    detail: Option<(String, Vec<String>)>,
}

/// Looks at the installation after a while, and at the function that is shown.
async fn look_after(api: &Api, wait: Duration, shown: Option<String>) -> Looked {
    sleep(wait).await;
    let (status, nats, detail) = tokio::join!(look(api), servers(api), look_at(api, shown));
    Looked { status: Some((status, nats)), detail }
}

async fn look_at(api: &Api, shown: Option<String>) -> Option<(String, Vec<String>)> {
    let name = shown?;
    let lines = detail::lines(api, &name).await;
    Some((name, lines))
}

/// Shows the installation until somebody quits. Keys count while a look waits for its answer, too.
pub(super) async fn show(api: &Api, every: Duration) -> Result<()> {
    let first = look(api).await?;
    let nats = servers(api).await;
    let every = every.max(Duration::from_millis(100));
    let mut keys = Keys::open().map_err(Failure::internal)?;
    let mut resized = signal(SignalKind::window_change()).map_err(Failure::internal)?;
    let _screen = Screen::enter().map_err(Failure::internal)?;
    let mut view =
        View { before: first.clone(), now: first, nats, order: Order::Name, chosen: 0, detail: None, problem: None };
    let mut ended = pin!(signals::first_signal());
    let mut looking = pin!(Either::Left(look_after(api, every, None)));
    loop {
        view.draw().map_err(Failure::internal)?;
        tokio::select! {
            looked = &mut looking => {
                view.take(looked);
                looking.set(Either::Left(look_after(api, every, view.shown())));
            }
            key = keys.next() => {
                let before = view.shown();
                if !view.press(key) {
                    return Ok(());
                }
                if view.shown() != before {
                    let detail = look_at(api, view.shown());
                    looking.set(Either::Right(async { Looked { status: None, detail: detail.await } }));
                }
            }
            _ = resized.recv() => {}
            _ = &mut ended => return Ok(()),
        }
    }
}

impl View {
    fn rows(&self) -> Vec<Row> {
        rows(&self.before, &self.now, self.order)
    }

    /// The function that is shown.
    fn shown(&self) -> Option<String> {
        self.detail.as_ref().map(|(name, _)| name.clone())
    }

    /// A gateway that does not answer is reported, and asked again.
    fn take(&mut self, looked: Looked) {
        if let Some((status, nats)) = looked.status {
            self.nats = nats;
            match status {
                Ok(now) => (self.before, self.problem) = (std::mem::replace(&mut self.now, now), None),
                Err(failure) => self.problem = Some(failure.to_string()),
            }
        }
        self.detail = looked.detail;
    }

    /// Does what a key asks for; `false` ends the view.
    fn press(&mut self, key: Key) -> bool {
        let last = self.now.functions.len().saturating_sub(1);
        match key {
            Key::Quit => return false,
            Key::Up => self.chosen = self.chosen.saturating_sub(1),
            Key::Down => self.chosen = (self.chosen + 1).min(last),
            Key::Sort => self.order = self.order.next(),
            Key::Back => self.detail = None,
            Key::Enter => self.show_chosen(),
        }
        if matches!(key, Key::Up | Key::Down) && self.detail.is_some() {
            self.show_chosen();
        }
        true
    }

    fn show_chosen(&mut self) {
        let chosen = self.rows().into_iter().nth(self.chosen);
        self.detail = chosen.map(|row| (row.now.name, vec![LOOKING.to_owned()]));
    }

    fn draw(&mut self) -> io::Result<()> {
        let (height, width) = size();
        self.chosen = self.chosen.min(self.now.functions.len().saturating_sub(1));
        let mut lines = match &self.detail {
            Some((name, lines)) => self.function(name, lines, width),
            None => self.table(height, width),
        };
        lines.truncate(height.saturating_sub(1));
        let mut text = HOME.to_owned();
        for (line, is_chosen) in lines {
            let line: String = table::one_line(&line).chars().take(width).collect();
            let line = if is_chosen { format!("{REVERSE}{line}{PLAIN}") } else { line };
            text += &format!("{line}{REST_OF_LINE}\r\n");
        }
        text += REST_OF_SCREEN;
        let keys = match self.detail {
            Some(_) => "q quit   Escape back   up/down other function".to_owned(),
            None => format!("q quit   Enter show   s sort (by {})   up/down choose", self.order.as_str()),
        };
        text += &keys.chars().take(width).collect::<String>();
        let mut out = io::stdout();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// The first two lines; what matters comes first, because a narrow screen shows only that.
    fn title(&self) -> Vec<(String, bool)> {
        let dead = self.now.dead_letters.map_or("?".to_owned(), |dead| dead.to_string());
        let (all, at) = (self.now.functions.len(), table::at(self.now.at));
        let rate: f64 = self.rows().iter().map(|row| row.rate).sum();
        let functions = if all == 1 { "function" } else { "functions" };
        let letters = if dead == "1" { "dead letter" } else { "dead letters" };
        let title = format!("{all} {functions}   {rate:.1} calls/s   {dead} {letters}   {at}");
        vec![(title, false), (self.problem.clone().unwrap_or_default(), false)]
    }

    /// What is wrong with NATS; nothing usually.
    fn nats(&self) -> Vec<String> {
        self.nats.iter().flat_map(problems).take(NATS_LINES).collect()
    }

    fn table(&self, height: usize, width: usize) -> Vec<(String, bool)> {
        let (rows, nats) = (self.rows(), self.nats());
        let room = height.saturating_sub(OTHER_LINES + nats.len()).max(1);
        // The chosen one is always seen.
        let first = (self.chosen + 1).saturating_sub(room);
        let shown: Vec<&Row> = rows.iter().skip(first).take(room).collect();
        let marks = [false].into_iter().chain((first..).map(|at| at == self.chosen));
        let mut lines = self.title();
        lines.extend(nats.into_iter().map(|problem| (problem, false)));
        lines.extend(table_of(&shown, width).into_iter().zip(marks));
        if rows.is_empty() {
            lines.push(("No function is deployed yet.".to_owned(), false));
        }
        lines
    }

    fn function(&self, name: &str, lines: &[String], width: usize) -> Vec<(String, bool)> {
        let rows = self.rows();
        let row: Vec<&Row> = rows.iter().filter(|row| row.now.name == name).collect();
        let mut all = self.title();
        all.extend(table_of(&row, width).into_iter().map(|line| (line, false)));
        if row.is_empty() {
            all.push((format!("{name} is no longer deployed."), false));
        }
        all.extend(lines.iter().map(|line| (line.clone(), false)));
        all
    }
}

/// Lines and columns; some terminals do not report them.
fn size() -> (usize, usize) {
    let size = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    size.map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)))
}

/// The screen of its own, until this is dropped.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        let mut out = io::stdout();
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout();
        // Nothing can be done about a terminal that is gone.
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    }
}
