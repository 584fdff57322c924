use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use filter::rate::{Rate, Wait};
use filter::store::{Login, Store, StoreEndpoint};
use smallvec::smallvec;

use super::{Silent, Stores, Taking};

/// A server of this test, killed at its end.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server that is installed, if any; its absence is said.
fn program() -> Option<&'static str> {
    let found = ["valkey-server", "redis-server"].into_iter().find(|name| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
    });
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "neither valkey-server nor redis-server is installed"
        );
        eprintln!(
            "LEFT OUT: neither valkey-server nor redis-server is installed; apt-get install redis-server"
        );
    }
    found
}

impl Server {
    fn start(program: &str, address: SocketAddr, more: &[&str]) -> Self {
        let child = Command::new(program)
            .args([
                "--bind",
                &address.ip().to_string(),
                "--port",
                &address.port().to_string(),
            ])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(more)
            .current_dir(Path::new("/tmp"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, address };
        while std::net::TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn store(address: SocketAddr, password: Option<&str>) -> Arc<Store> {
    Arc::new(Store {
        endpoints: Box::new([StoreEndpoint {
            host: "redis.invalid".into(),
            port: 6379,
            addresses: Box::new([address]),
        }]),
        login: Login {
            username: None,
            password: password.map(Box::from),
        },
        db: 3,
        tls: None,
        connect: Duration::from_secs(1),
        answer: Duration::from_secs(1),
    })
}

fn taking(bucket: &str, average: u64, burst: u64) -> Taking {
    Taking {
        bucket: bucket.to_owned(),
        rate: Rate::new(average, Duration::from_secs(3600), burst).unwrap(),
    }
}

fn stores() -> Stores {
    Stores::new("web".parse().unwrap())
}

/// An answer of the server; a machine under load may be slower than a request waits.
async fn answered(stores: &Stores, store: &Arc<Store>, taking: &Taking) -> Result<(), Wait> {
    let started = Instant::now();
    loop {
        match stores.take(store, smallvec![taking.clone()]).await {
            Ok(verdict) => return verdict,
            Err(Silent) => assert!(started.elapsed() < Duration::from_secs(30), "no answer"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn replicas_take_from_one_bucket() {
    let Some(program) = program() else { return };
    let server = Server::start(program, free_address(), &["--requirepass", "hunter2"]);
    let store = store(server.address, Some("hunter2"));
    let replicas = [stores(), stores()];
    let (mut admitted, mut waits) = (0, Vec::new());
    for turn in 0..30 {
        match answered(&replicas[turn % 2], &store, &taking("a", 36, 20)).await {
            Ok(()) => admitted += 1,
            Err(wait) => waits.push(wait.seconds()),
        }
    }
    // A lost answer may have taken a token.
    assert!((15..=20).contains(&admitted), "{admitted}");
    assert!(waits.iter().all(|wait| (90..=100).contains(wait)), "{waits:?}");
    // Others are not affected, and neither is what another limit would have given.
    assert_eq!(answered(&replicas[0], &store, &taking("b", 36, 20)).await, Ok(()));
}

#[tokio::test]
async fn all_buckets_give_a_token_or_none_does() {
    let Some(program) = program() else { return };
    let server = Server::start(program, free_address(), &[]);
    let (stores, store) = (stores(), store(server.address, None));
    let (one, two) = (taking("one", 1, 1), taking("two", 1, 1));
    assert_eq!(answered(&stores, &store, &one).await, Ok(()));
    let both = loop {
        if let Ok(verdict) = stores.take(&store, smallvec![two.clone(), one.clone()]).await {
            break verdict;
        }
    };
    assert!(both.is_err());
    assert_eq!(answered(&stores, &store, &two).await, Ok(()));
}

/// Killed, replaced, hanging: requests get no answer, in time, and answers again when there is a server.
#[tokio::test]
async fn a_server_that_is_away_is_missed_and_found_again() {
    let Some(program) = program() else { return };
    let address = free_address();
    let (stores, store) = (stores(), store(address, None));
    assert_eq!(
        stores.take(&store, smallvec![taking("a", 1, 1)]).await,
        Err(Silent)
    );
    for round in 0..2 {
        let server = Server::start(program, address, &[]);
        let bucket = taking(&format!("a{round}"), 1, 1);
        assert_eq!(answered(&stores, &store, &bucket).await, Ok(()));
        assert!(answered(&stores, &store, &bucket).await.is_err());
        drop(server);
        // The connection ends at once; there is nobody to answer.
        assert_eq!(stores.take(&store, smallvec![bucket]).await, Err(Silent));
    }
    let silent = TcpListener::bind(address).unwrap();
    for _ in 0..10 {
        assert_eq!(
            stores.take(&store, smallvec![taking("b", 1, 1)]).await,
            Err(Silent)
        );
    }
    drop(silent);
}

#[tokio::test]
async fn a_wrong_password_is_no_answer() {
    let Some(program) = program() else { return };
    let server = Server::start(program, free_address(), &["--requirepass", "hunter2"]);
    let stores = stores();
    for password in [None, Some("hunter3")] {
        let store = store(server.address, password);
        assert_eq!(
            stores.take(&store, smallvec![taking("a", 1, 1)]).await,
            Err(Silent)
        );
    }
}

/// Answers each connection with these bytes and then goes on sending; counts what it could send and the connections.
fn flooding(answer: &'static [u8], more: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || {
                let mut asked = [0; 4096];
                // The database is chosen first.
                let chosen = stream.read(&mut asked).is_ok() && stream.write_all(b"+OK\r\n").is_ok();
                if !chosen || stream.read(&mut asked).is_err() || stream.write_all(answer).is_err() {
                    return;
                }
                let more = more.repeat(16 << 10);
                while counted.load(Ordering::Relaxed) < FLOOD && stream.write_all(&more).is_ok() {
                    counted.fetch_add(more.len(), Ordering::Relaxed);
                }
            });
        }
    });
    (address, sent)
}

/// More than sockets hold.
const FLOOD: usize = 256 << 20;

#[tokio::test]
async fn a_server_that_sends_for_ever_is_left() {
    for (answer, more) in [
        (b"$9000000000\r\n".as_slice(), b"aaaa".as_slice()),
        (b"*9000000000\r\n", b":0\r\n"),
        (b"+", b"aaaa"),
        (b":0\r\n", b":0\r\n"),
    ] {
        let (address, sent) = flooding(answer, more);
        let (stores, store) = (stores(), store(address, None));
        let started = Instant::now();
        // Until it has been asked at all: a machine under load may be slow to connect.
        while sent.load(Ordering::Relaxed) == 0 && started.elapsed() < Duration::from_secs(10) {
            let _ = stores.take(&store, smallvec![taking("a", 1, 1)]).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent < FLOOD / 4, "{}: {sent} bytes", answer.escape_ascii());
    }
}
