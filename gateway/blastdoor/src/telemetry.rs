//! What the process writes: diagnostics on standard error and the access log on standard output, both through queues, so
//! that nothing that serves waits for whoever reads them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use proxy::{AccessFormat, AccessLog, AccessPolicy, KeptBack, LineQueue, Warnings};
use text::{Shown, ShownJson};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat};
use crate::panics;

/// Crates that log every failed attempt, which we log once. The user's directives come later and take precedence.
const QUIET: &str = "kube_client=off";

/// How long the last lines may take when the process ends.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Both logs of the process.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    diagnostics: LineQueue,
    requests: Option<LineQueue>,
    access: AccessLog,
}

/// Starts both logs: text on a terminal, JSON elsewhere, unless the configuration says otherwise. From then on panics are
/// logged in the same way.
///
/// # Errors
/// When a thread cannot be started.
pub(crate) fn start(log: &Log, may_style: bool) -> io::Result<Logs> {
    let diagnostics = LineQueue::start("stderr", log.buffer, Standard::Error)?;
    start_diagnostics(log, diagnostics.clone(), may_style);
    let requests = match log.access {
        AccessPolicy::Off => None,
        AccessPolicy::All | AccessPolicy::Errors => {
            Some(LineQueue::start("stdout", log.buffer, Standard::Output)?)
        }
    };
    let format = match log.format {
        LogFormat::Json => AccessFormat::Json,
        LogFormat::Text => AccessFormat::Text,
        LogFormat::Auto if stdout().is_terminal() => AccessFormat::Text,
        LogFormat::Auto => AccessFormat::Json,
    };
    let access = match &requests {
        Some(queue) => AccessLog::new(log.access, format, queue.clone()),
        None => AccessLog::off(),
    };
    Ok(Logs {
        diagnostics,
        requests,
        access,
    })
}

fn start_diagnostics(log: &Log, queue: LineQueue, may_style: bool) {
    // The level has been checked with the configuration.
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{}", log.level))
        .unwrap_or_else(|_checked| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // The library prints these with a macro that waits for standard error, and panics when it is closed.
        .log_internal_errors(false)
        .with_writer(Lines {
            queue,
            others: Warnings::default(),
        });
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !stderr().is_terminal(),
    };
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(may_style && stderr().is_terminal()).try_init()
    };
    // A second start (tests run commands in one process) keeps the first.
    if started.is_ok() {
        panics::log_them();
    }
}

impl Logs {
    /// Logs that nobody sees.
    #[cfg(test)]
    pub(crate) fn of_tests() -> Self {
        Self {
            diagnostics: LineQueue::start("stderr", 0, io::sink()).unwrap(),
            requests: None,
            access: AccessLog::off(),
        }
    }

    /// The access log.
    pub(crate) fn access(&self) -> &AccessLog {
        &self.access
    }

    /// The queues of lines, for their counts.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &LineQueue> {
        [&self.diagnostics].into_iter().chain(&self.requests)
    }

    /// Says why the process ends, and ends it with this status.
    pub(crate) fn fail(&self, status: u8, message: impl std::fmt::Display) -> ExitCode {
        self.diagnostics.push(&shown(format!("{message}\n").as_bytes()));
        ExitCode::from(status)
    }

    /// Waits until everything is written, but not for ever: nobody may be reading.
    pub(crate) fn flush(&self) {
        let deadline = Instant::now() + LAST_LINES;
        self.queues().for_each(|queue| queue.flush(deadline));
    }
}

/// A standard stream without a buffer and a lock of its own, and with errors that the standard library would swallow.
enum Standard {
    Output,
    Error,
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(match self {
            Self::Output => rustix::io::write(stdout(), bytes),
            Self::Error => rustix::io::write(stderr(), bytes),
        }?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Our crates, which limit the rate of their lines by what these are about.
const OURS: [&str; 7] = [
    "blastdoor",
    "control",
    "door",
    "proxy",
    "resource",
    "route",
    "wire",
];

/// How many lines a module of another crate may write in 10 s: clients, backends and DNS servers can cause some of them.
/// Those of the levels `debug` and `trace` have been asked for.
const MOST_LINES: usize = 20;

/// Diagnostics on their way to their queue: each event is one write.
struct Lines {
    queue: LineQueue,
    others: Warnings,
}

impl Lines {
    /// Where a line of this module goes.
    fn line(&self, module: &str, level: Level, now: Instant) -> Line<'_> {
        let is_ours = module.split("::").next().is_some_and(|name| OURS.contains(&name));
        let kept_back = if is_ours || level > Level::INFO {
            Some(KeptBack(0))
        } else {
            self.others.admit_some(module, MOST_LINES, now)
        };
        Line(kept_back.map(|kept_back| (&self.queue, kept_back)))
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(Some((&self.queue, KeptBack(0))))
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Self::Writer {
        self.line(event.target(), *event.level(), Instant::now())
    }
}

/// Where one line goes, if anywhere, and how many like it have not gone there before it.
struct Line<'a>(Option<(&'a LineQueue, KeptBack)>);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0 {
            None => {}
            Some((queue, KeptBack(0))) => queue.push(&shown(line)),
            Some((queue, kept_back)) => queue.push(&shown(&with_kept_back(line, kept_back))),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line of JSON or text as a terminal may show it, whatever was quoted in it. The library escapes control characters in
/// fields, so that what is left of them is ours: line ends, and colours.
fn shown(line: &[u8]) -> Cow<'_, [u8]> {
    let is_ours = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t' | 0x1b);
    if line.iter().all(is_ours) {
        return Cow::Borrowed(line);
    }
    let line = String::from_utf8_lossy(line);
    let mut shown = String::with_capacity(line.len() + 32);
    // Writing to a String cannot fail.
    _ = if line.starts_with('{') {
        write!(shown, "{}", ShownJson(&line))
    } else {
        line.chars().try_for_each(|character| match character {
            '\n' | '\t' | '\u{1b}' => shown.write_char(character),
            _ => write!(shown, "{}", Shown(character)),
        })
    };
    Cow::Owned(shown.into_bytes())
}

/// A line of JSON or text, with how many like it have not been written.
fn with_kept_back(line: &[u8], kept_back: KeptBack) -> Vec<u8> {
    let line = line.trim_ascii_end();
    // Text begins with the time.
    let json = line.strip_suffix(b"}").filter(|fields| fields.starts_with(b"{"));
    match json {
        Some(fields) => [fields, format!(",\"kept_back\":{}}}\n", kept_back.0).as_bytes()].concat(),
        None => [line, format!("{kept_back}\n").as_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_of_other_crates_are_limited_and_say_how_many_were_kept_back() {
        let (sink, start) = (Sink::default(), Instant::now());
        let lines = Lines {
            queue: LineQueue::start("stderr", 1 << 20, sink.clone()).unwrap(),
            others: Warnings::default(),
        };
        let written = |module, level, now, line: &[u8]| {
            for _ in 0..MOST_LINES + 7 {
                lines.line(module, level, now).write_all(line).unwrap();
            }
            lines.queue.flush(Instant::now() + Duration::from_secs(20));
            let written = std::mem::take(&mut *sink.0.lock().unwrap());
            let text = String::from_utf8(written).unwrap();
            let mut all = text.lines().map(str::to_owned);
            (all.next().unwrap(), 1 + all.count())
        };
        let all = MOST_LINES + 7;
        let (json, text) = (b"{\"level\":\"WARN\"}\n", b"WARN Why { is: so }\n");
        let later = start + Duration::from_secs(10);
        for module in ["proxy", "door::compile"] {
            assert_eq!(written(module, Level::WARN, start, text).1, all);
        }
        assert_eq!(written("h2::proto", Level::DEBUG, start, text).1, all);
        for (module, line, more) in [
            ("h2::proto", &json[..], "{\"level\":\"WARN\",\"kept_back\":7}"),
            (
                "proxying",
                text,
                "WARN Why { is: so } (7 more like it have not been reported)",
            ),
        ] {
            let plain = std::str::from_utf8(line).unwrap().trim_end().to_owned();
            assert_eq!(written(module, Level::WARN, start, line), (plain, MOST_LINES));
            assert_eq!(
                written(module, Level::WARN, later, line),
                (more.to_owned(), MOST_LINES)
            );
        }
    }

    #[test]
    fn what_a_line_quotes_cannot_turn_it_around() {
        let table = [
            (
                "\u{1b}[33mWARN\u{1b}[0m as it is\n",
                "\u{1b}[33mWARN\u{1b}[0m as it is\n",
            ),
            (
                "WARN über `a\u{202e}b\u{9b}1m`\n",
                "WARN über `a\\u{202e}b\\u{9b}1m`\n",
            ),
            ("{\"host\":\"a\u{202e}b\"}\n", "{\"host\":\"a\\u202eb\"}\n"),
        ];
        for (line, expected) in table {
            assert_eq!(String::from_utf8_lossy(&shown(line.as_bytes())), expected);
        }
    }
}
