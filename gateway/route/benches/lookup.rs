//! What one lookup costs: nanoseconds from the bytes of a request to its action, and memory per route.
//!
//! `cargo bench -p route --bench lookup`

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use route::{HostBuf, HostPattern, PathPattern, PathScratch, Table, TableBuilder};
use route::{normalise_authority, normalise_path};

/// Requests in a round; many hosts, so that the table does not stay in the first cache.
const REQUESTS: usize = 4_096;
const ROUNDS: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<34}{:>10}{:>12}{:>14}{:>12}",
        "table", "find ns", "request ns", "bytes/route", "build ms"
    )?;
    for (name, hosts, paths) in [
        ("10 hosts, 1 path", 10, 1),
        ("10 hosts, 8 paths", 10, 8),
        ("10,000 hosts, 1 path", 10_000, 1),
        ("10,000 hosts, 2 paths", 10_000, 2),
        ("1 host, 10,000 paths", 1, 10_000),
    ] {
        let (table, build) = table(hosts, paths)?;
        let bytes = bytes_of(&table)? / table.len();
        let (find, request) = (
            time_find(&table, hosts, paths)?,
            time_request(&table, hosts, paths)?,
        );
        let build = build.as_secs_f64() * 1e3;
        // Small tables are below the resolution of the process's memory.
        let bytes = if table.len() < 1_000 {
            "-".to_owned()
        } else {
            bytes.to_string()
        };
        writeln!(
            out,
            "{name:<34}{find:>10.0}{request:>12.0}{bytes:>14}{build:>12.1}"
        )?;
    }
    Ok(())
}

fn host(index: usize) -> String {
    format!("app-{index}.team-{}.example.com", index % 97)
}

fn path(index: usize) -> String {
    if index == 0 {
        "/".to_owned()
    } else {
        format!("/api/v{index}/items")
    }
}

fn table(hosts: usize, paths: usize) -> Result<(Table<usize>, Duration), Box<dyn std::error::Error>> {
    let mut rules = Vec::new();
    for host_index in 0..hosts {
        for path_index in 0..paths {
            rules.push((
                HostPattern::parse(&host(host_index))?,
                PathPattern::prefix(&path(path_index))?,
            ));
        }
    }
    let (mut fastest, mut table) = (Duration::MAX, TableBuilder::new().build());
    for _ in 0..8 {
        let start = Instant::now();
        let mut builder = TableBuilder::new();
        for (index, (host, path)) in rules.iter().cloned().enumerate() {
            builder
                .insert(host, path, index)
                .map_err(|_taken| "a rule stands twice")?;
        }
        table = builder.build();
        fastest = fastest.min(start.elapsed());
    }
    Ok((table, fastest))
}

/// Hosts and paths as they arrive, in no order that a cache could guess.
fn requests(hosts: usize, paths: usize) -> Vec<(String, String)> {
    let scattered = |index: usize| index.wrapping_mul(0x9e37_79b9) >> 7;
    let of = |index| {
        (
            host(scattered(index) % hosts),
            format!("{}/{index}", path(scattered(index + 1) % paths)),
        )
    };
    (0..REQUESTS).map(of).collect()
}

/// The table's part alone.
fn time_find(table: &Table<usize>, hosts: usize, paths: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let requests = requests(hosts, paths);
    let mut buffers: Vec<(HostBuf, PathScratch)> = requests.iter().map(|_| Default::default()).collect();
    let mut normal = Vec::with_capacity(REQUESTS);
    for ((host, path), (host_scratch, path_scratch)) in requests.iter().zip(&mut buffers) {
        normal.push((
            normalise_authority(host.as_bytes(), host_scratch)?,
            normalise_path(path.as_bytes(), path_scratch)?,
        ));
    }
    fastest_round(|| {
        for (host, path) in &normal {
            table
                .find(black_box(Some(host)), black_box(path))
                .ok_or("no rule matches")?;
        }
        Ok(())
    })
}

/// Both normalisations and the table.
fn time_request(table: &Table<usize>, hosts: usize, paths: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let requests = requests(hosts, paths);
    let (mut host_scratch, mut path_scratch) = (HostBuf::new(), PathScratch::default());
    fastest_round(|| {
        for (host, path) in &requests {
            let host = normalise_authority(black_box(host.as_bytes()), &mut host_scratch)?;
            let path = normalise_path(black_box(path.as_bytes()), &mut path_scratch)?;
            black_box(table.find(Some(&host), &path).ok_or("no rule matches")?);
        }
        Ok(())
    })
}

/// Nanoseconds per request in the round that the machine disturbed least.
fn fastest_round(
    mut round: impl FnMut() -> Result<(), Box<dyn std::error::Error>>,
) -> Result<f64, Box<dyn std::error::Error>> {
    let mut fastest = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        round()?;
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e9 / REQUESTS as f64);
    }
    Ok(fastest)
}

/// What one more table like this takes, the text of its hosts aside, which all copies share.
fn bytes_of(table: &Table<usize>) -> Result<usize, Box<dyn std::error::Error>> {
    const COPIES: usize = 32;
    let before = resident_bytes()?;
    let copies: Vec<Table<usize>> = (0..COPIES).map(|_| table.clone()).collect();
    let bytes = resident_bytes()?.saturating_sub(before) / COPIES;
    drop(black_box(copies));
    Ok(bytes)
}

/// What the process holds, from `/proc` (Linux).
fn resident_bytes() -> Result<usize, Box<dyn std::error::Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm
        .split_whitespace()
        .nth(1)
        .ok_or("no second field in /proc/self/statm")?
        .parse()?;
    Ok(pages * 4096)
}
