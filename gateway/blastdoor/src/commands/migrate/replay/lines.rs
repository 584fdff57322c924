//! The lines of a log, read by a thread of its own: what writes into a pipe may be slow.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use migrate::replay::{LogCounts, Recorded, Share, Unusable, recorded};
use tokio::sync::mpsc;

/// Requests that wait.
const QUEUE: usize = 256;
/// Bytes of a line. Longer ones are malformed.
const LONGEST: u64 = 64 << 10;

/// The requests of a log that are to be sent.
pub(super) struct Lines {
    requests: Option<mpsc::Receiver<(Recorded, String)>>,
    counts: Arc<Mutex<LogCounts>>,
}

/// Which requests are sent.
struct Choice {
    host: Option<String>,
    share: Share,
    limit: Option<usize>,
}

impl Lines {
    /// Begins to read.
    pub(super) fn open(
        path: &Path,
        host: Option<String>,
        share: Share,
        limit: Option<usize>,
    ) -> Result<Self, String> {
        let cannot = |error: io::Error| format!("cannot read `{}`: {error}", path.display());
        let input: Box<dyn Read + Send> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            let file = File::open(path).map_err(cannot)?;
            if file.metadata().map_err(cannot)?.is_dir() {
                return Err(format!("cannot read `{}`: it is a directory", path.display()));
            }
            Box::new(file)
        };
        let counts = Arc::new(Mutex::new(LogCounts::default()));
        let (sender, requests) = mpsc::channel(QUEUE);
        let choice = Choice { host, share, limit };
        let shared = Arc::clone(&counts);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || read(BufReader::new(input), choice, &sender, &shared))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self {
            requests: Some(requests),
            counts,
        })
    }

    /// The next request; `None` at the end. Several workers may wait, one after the other.
    pub(super) async fn next(lines: &RefCell<Self>) -> Option<(Recorded, String)> {
        std::future::poll_fn(|context| {
            let mut lines = lines.borrow_mut();
            let Some(requests) = &mut lines.requests else {
                return std::task::Poll::Ready(None);
            };
            let polled = requests.poll_recv(context);
            if let std::task::Poll::Ready(None) = polled {
                lines.requests = None;
            }
            polled
        })
        .await
    }

    /// What the log had.
    pub(super) fn counts(self) -> LogCounts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(
    mut input: impl BufRead,
    mut choice: Choice,
    sender: &mpsc::Sender<(Recorded, String)>,
    counts: &Mutex<LogCounts>,
) {
    let note =
        |note: &dyn Fn(&mut LogCounts)| note(&mut counts.lock().unwrap_or_else(PoisonError::into_inner));
    let mut number = 0;
    let mut sent = 0;
    let mut bytes = Vec::new();
    loop {
        if choice.limit.is_some_and(|limit| sent >= limit) {
            return;
        }
        bytes.clear();
        number += 1;
        match input.by_ref().take(LONGEST).read_until(b'\n', &mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                note(&|counts| counts.malformed(number, &format!("the log cannot be read further: {error}")));
                return;
            }
        }
        if bytes.len() as u64 == LONGEST && !bytes.ends_with(b"\n") {
            skip_line(&mut input);
            note(&|counts| {
                counts.lines += 1;
                counts.malformed(number, "it is too long");
            });
            continue;
        }
        let line = String::from_utf8_lossy(&bytes);
        if line.trim().is_empty() {
            continue;
        }
        note(&|counts| counts.lines += 1);
        match recorded(&line) {
            Err(Unusable::Unsafe) => note(&|counts| counts.not_safe += 1),
            Err(Unusable::Malformed(reason)) => note(&|counts| counts.malformed(number, reason)),
            Ok(request) => {
                let Some(host) = request.host.clone().or_else(|| choice.host.clone()) else {
                    note(&|counts| counts.without_host += 1);
                    continue;
                };
                if !choice.share.takes() {
                    note(&|counts| counts.left_out += 1);
                    continue;
                }
                sent += 1;
                if sender.blocking_send((request, host)).is_err() {
                    return;
                }
            }
        }
    }
}

/// Reads on to the end of a line.
fn skip_line(input: &mut impl BufRead) {
    loop {
        let Ok(piece) = input.fill_buf() else { return };
        if piece.is_empty() {
            return;
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(piece.len(), |end| end + 1);
        input.consume(length);
        if end.is_some() {
            return;
        }
    }
}
