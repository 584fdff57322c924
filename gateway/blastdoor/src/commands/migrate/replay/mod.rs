//! `blastdoor migrate --replay`: recorded requests, sent to two gateways.

mod client;
mod lines;
mod pace;
mod target;

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use migrate::replay::{Share, Tally, compare};
use tokio::task::LocalSet;
use tokio::time::sleep_until;

use self::client::{Client, Wanted};
use self::lines::Lines;
use self::pace::Pace;
use self::target::Target;
use crate::commands::progress::Progress;
use crate::commands::run::runtime;
use crate::config::Options;

/// Options of a replay.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Replay")]
pub(crate) struct ReplayOptions {
    /// Send the requests of this access log to two gateways and compare the answers; `-` is standard input. Reads the logs
    /// of nginx and ingress-nginx (`combined`, `upstreaminfo`), of Traefik (CLF and JSON) and of this gateway. Only GET, HEAD
    /// and OPTIONS are sent, without credentials, and redirects are not followed
    #[arg(long, value_name = "ACCESS_LOG", requires = "old", requires = "new", conflicts_with_all = ["write", "door", "from", "namespace", "all_namespaces"])]
    replay: Option<PathBuf>,
    /// The gateway that serves now, as in `https://192.0.2.1:8443`: where to connect. `Host`, and the server name of TLS, are
    /// those of the log
    #[arg(long, value_name = "URL", requires = "replay")]
    old: Option<Target>,
    /// The gateway that is to serve
    #[arg(long, value_name = "URL", requires = "replay")]
    new: Option<Target>,
    /// Do not verify the certificate of the old gateway
    #[arg(long, requires = "replay")]
    insecure_old: bool,
    /// Do not verify the certificate of the new gateway
    #[arg(long, requires = "replay")]
    insecure_new: bool,
    /// The host of requests whose host the log does not say
    #[arg(long, value_name = "HOST", value_parser = host_name, requires = "replay")]
    host: Option<String>,
    /// The share of the requests that is sent, evenly spread
    #[arg(long, value_name = "SHARE", default_value = "1", requires = "replay")]
    share: Share,
    /// Send this many requests at most
    #[arg(long, value_name = "N", requires = "replay")]
    limit: Option<usize>,
    /// Requests a second, to each of the two; 0: as fast as they answer
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100_000), requires = "replay")]
    rate: u32,
    /// Requests under way at once, to each of the two
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256), requires = "replay")]
    concurrency: u16,
    /// Also compare these response fields; may be repeated
    #[arg(long, value_name = "NAME", value_parser = field_name, requires = "replay")]
    compare_header: Vec<String>,
    /// Do not compare bodies
    #[arg(long, requires = "replay")]
    ignore_body: bool,
    /// Compare this many bytes of each body at most
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, requires = "replay")]
    body_limit: u64,
    /// How long an answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..), requires = "replay")]
    timeout: u16,
}

/// What workers share.
struct Replay<'o> {
    options: &'o ReplayOptions,
    lines: RefCell<Lines>,
    tally: RefCell<Tally>,
    pace: Option<RefCell<Pace>>,
    progress: Progress,
}

impl ReplayOptions {
    /// The log, if there is one to replay.
    pub(super) fn is_asked(&self) -> bool {
        self.replay.is_some()
    }

    /// Replays the log.
    pub(super) fn run(&self, options: &Options) -> Result<Tally, String> {
        let (Some(log), Some(old), Some(new)) = (&self.replay, &self.old, &self.new) else {
            return Err("--replay needs --old and --new".to_owned());
        };
        let lines = Lines::open(log, self.host.clone(), self.share, self.limit)?;
        let progress = Progress::new(options);
        LocalSet::new().block_on(&runtime()?, self.replay(lines, old, new, progress))
    }

    async fn replay(
        &self,
        lines: Lines,
        old: &Target,
        new: &Target,
        progress: Progress,
    ) -> Result<Tally, String> {
        let wanted = Wanted {
            fields: self.compare_header.clone(),
            body: (!self.ignore_body).then_some(self.body_limit),
            timeout: Duration::from_secs(self.timeout.into()),
        };
        let mut clients = Vec::new();
        for _ in 0..self.concurrency {
            clients.push((
                Client::new(old, self.insecure_old, &wanted)?,
                Client::new(new, self.insecure_new, &wanted)?,
            ));
        }
        // What cannot be reached at all is a wrong option, and no difference of each request.
        if let Some((of_old, of_new)) = clients.first() {
            of_old
                .reach()
                .await
                .map_err(|error| format!("--old {old}: {error}"))?;
            of_new
                .reach()
                .await
                .map_err(|error| format!("--new {new}: {error}"))?;
        }
        let replay = Replay {
            options: self,
            lines: RefCell::new(lines),
            tally: RefCell::default(),
            pace: Pace::new(self.rate, Instant::now()).map(RefCell::new),
            progress,
        };
        let workers = clients.into_iter().map(|(old, new)| replay.work(old, new));
        join_all(workers.collect()).await;
        drop(replay.progress);
        let mut tally = replay.tally.into_inner();
        tally.finish(replay.lines.into_inner().counts());
        Ok(tally)
    }
}

impl Replay<'_> {
    /// Sends one request after the other to both gateways.
    async fn work(&self, mut old: Client, mut new: Client) {
        loop {
            // Not held while it waits.
            let next = Lines::next(&self.lines).await;
            let Some((request, host)) = next else { return };
            self.wait_for_turn().await;
            let (of_old, of_new) = tokio::join!(old.ask(&request, &host), new.ask(&request, &host));
            let mismatches = compare(&of_old, &of_new, &self.options.compare_header);
            let mut tally = self.tally.borrow_mut();
            tally.add(&request, &host, mismatches);
            let (sent, different) = (tally.sent, tally.different);
            self.progress.now_and_then(format_args!(
                "{sent} requests sent, {different} answered differently"
            ));
        }
    }

    async fn wait_for_turn(&self) {
        if let Some(pace) = &self.pace {
            let turn = pace.borrow_mut().turn(Instant::now());
            sleep_until(turn.into()).await;
        }
    }
}

/// Runs futures at once until all are done. Each has its own connections, and nothing is shared but cells.
async fn join_all<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut running: Vec<std::pin::Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        running.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if running.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

fn host_name(text: &str) -> Result<String, String> {
    let authority: hyper::http::uri::Authority =
        text.parse().map_err(|_invalid| format!("`{text}` is no host"))?;
    if authority.as_str().contains('@') || authority.host() != text {
        return Err(format!("`{text}` is no host; write it without a port"));
    }
    Ok(text.to_owned())
}

fn field_name(text: &str) -> Result<String, String> {
    let name = hyper::header::HeaderName::from_bytes(text.as_bytes());
    let name = name.map_err(|_invalid| format!("`{text}` is no name of a header field"))?;
    Ok(name.as_str().to_owned())
}
