//! A steady load on keep-alive connections, with every failure told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use std::io::{Read, Write};
use std::net::TcpStream;

/// A load under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    done: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

/// What a load found.
#[derive(Debug)]
pub struct Outcome {
    /// Requests answered with 200.
    pub done: usize,
    /// Everything else.
    pub failures: Vec<String>,
}

impl Load {
    /// `connections` clients that together send `rate` requests a second.
    #[must_use]
    pub fn start(address: SocketAddr, host: &str, connections: usize, rate: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            done: AtomicUsize::new(0),
            failures: Mutex::default(),
        });
        let interval = Duration::from_secs_f64(connections as f64 / rate as f64);
        let request = format!("GET /load HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        let threads = (0..connections)
            .map(|number| {
                let (stop, shared, request) = (Arc::clone(&stop), Arc::clone(&shared), request.clone());
                std::thread::spawn(move || {
                    std::thread::sleep(interval.mul_f64(number as f64 / connections as f64));
                    client(address, &request, interval, &stop, &shared);
                })
            })
            .collect();
        Self {
            stop,
            shared,
            threads,
        }
    }

    /// Requests answered so far.
    #[must_use]
    pub fn done(&self) -> usize {
        self.shared.done.load(Ordering::SeqCst)
    }

    /// Ends the load.
    #[must_use]
    pub fn finish(self) -> Outcome {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let failures = self.shared.failures.lock().unwrap().clone();
        Outcome {
            done: self.shared.done.load(Ordering::SeqCst),
            failures,
        }
    }
}

fn client(address: SocketAddr, request: &[u8], interval: Duration, stop: &AtomicBool, shared: &Shared) {
    let mut connection: Option<TcpStream> = None;
    let mut next = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        match once(address, request, &mut connection) {
            Ok(()) => {
                shared.done.fetch_add(1, Ordering::SeqCst);
            }
            Err(failure) => {
                connection = None;
                shared.failures.lock().unwrap().push(failure);
            }
        }
        next += interval;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn once(address: SocketAddr, request: &[u8], connection: &mut Option<TcpStream>) -> Result<(), String> {
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address).map_err(|error| format!("connect: {error}"))?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .map_err(|error| error.to_string())?;
            stream
        }
    };
    stream
        .write_all(request)
        .map_err(|error| format!("send: {error}"))?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = stream
            .read(&mut buffer)
            .map_err(|error| format!("receive: {error} after {} bytes", answer.len()))?;
        if count == 0 {
            return Err(format!("closed after {} bytes", answer.len()));
        }
        answer.extend_from_slice(&buffer[..count]);
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let length: usize = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next()?.parse().ok())
            .ok_or_else(|| format!("no length: {head}"))?;
        if answer.len() < end + 4 + length {
            continue;
        }
        if !head.starts_with("http/1.1 200") {
            return Err(head.lines().next().unwrap_or_default().to_owned());
        }
        if !head.contains("connection: close") {
            *connection = Some(stream);
        }
        return Ok(());
    }
}
