//! Connections to servers: one each, kept and made anew.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use door::PlatformRoots;
use filter::rate::Wait;
use filter::store::{SCRIPT, Store, StoreEndpoint, arguments, verdict};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, Script};
use route::ListenerName;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::taking::{Silent, Taking};
use super::vetted::Vetted;

/// Between two attempts to reach a server, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The most that an attempt takes, whatever is configured.
const LONGEST_CONNECT: Duration = Duration::from_secs(5);

/// How long the connection to a server that nobody asks is kept.
const UNUSED: Duration = Duration::from_secs(600);

/// The connections of a door.
pub(super) struct Links {
    listener: ListenerName,
    all: Vec<Rc<Link>>,
    tidied: Instant,
}

/// One server.
pub(super) struct Link {
    listener: ListenerName,
    store: Arc<Store>,
    script: Script,
    state: RefCell<State>,
    /// The state has changed.
    changed: Notify,
    /// The connection is of no use any more.
    lost: Notify,
    used: Cell<Instant>,
}

enum State {
    /// The first connection is being made.
    New,
    Connected(Connection),
    Away,
}

/// A connection, and the task that reads from it.
struct Connection {
    asks: MultiplexedConnection,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    /// Not once its last request is answered: a server must not go on sending until then.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Links {
    pub(super) fn new(listener: ListenerName) -> Self {
        Self {
            listener,
            all: Vec::new(),
            tidied: Instant::now(),
        }
    }

    /// The link to this server. A publication that changes nothing of it finds the same.
    pub(super) fn of(&mut self, store: &Arc<Store>) -> Rc<Link> {
        let now = Instant::now();
        if now - self.tidied > UNUSED / 10 {
            self.tidied = now;
            self.all.retain(|link| now - link.used.get() < UNUSED);
        }
        let known = |link: &&Rc<Link>| Arc::ptr_eq(&link.store, store) || link.store == *store;
        if let Some(link) = self.all.iter().find(known) {
            link.used.set(now);
            return Rc::clone(link);
        }
        let link = Rc::new(Link {
            listener: self.listener.clone(),
            store: Arc::clone(store),
            script: Script::new(SCRIPT),
            state: RefCell::new(State::New),
            changed: Notify::new(),
            lost: Notify::new(),
            used: Cell::new(now),
        });
        tokio::task::spawn_local(keep(Rc::downgrade(&link)));
        self.all.push(Rc::clone(&link));
        link
    }
}

impl Link {
    /// Takes tokens at the server, if it answers until then.
    pub(super) async fn take(&self, takings: &[Taking], until: Instant) -> Result<Result<(), Wait>, Silent> {
        let mut connection = self.connection(until).await?;
        let mut asked = self.script.prepare_invoke();
        for taking in takings {
            asked.key(&taking.bucket);
            for argument in arguments(&taking.rate) {
                asked.arg(argument);
            }
        }
        match timeout_at(until, asked.invoke_async::<i64>(&mut connection)).await {
            Ok(Ok(early)) => Ok(verdict(early)),
            // Of no use, whatever the reason: it may have become a replica, or its password may be another.
            Ok(Err(error)) => {
                self.give_up(&error);
                Err(Silent)
            }
            // The library would keep a place for each answer that is still to come.
            Err(_late) => {
                self.give_up(&"it does not answer in time");
                Err(Silent)
            }
        }
    }

    async fn connection(&self, until: Instant) -> Result<MultiplexedConnection, Silent> {
        loop {
            let changed = self.changed.notified();
            match &*self.state.borrow() {
                State::Connected(connection) => return Ok(connection.asks.clone()),
                State::Away => return Err(Silent),
                State::New => {}
            }
            timeout_at(until, changed).await.map_err(|_| Silent)?;
        }
    }

    fn give_up(&self, error: &dyn std::fmt::Display) {
        let was_connected = matches!(*self.state.borrow(), State::Connected(_));
        if was_connected {
            self.set(State::Away);
            self.warn(error);
            self.lost.notify_one();
        }
    }

    fn set(&self, state: State) {
        *self.state.borrow_mut() = state;
        self.changed.notify_waiters();
    }

    fn warn(&self, error: &dyn std::fmt::Display) {
        let (listener, store) = (&self.listener, self.name());
        tracing::warn!(
            %listener,
            store,
            "limits are counted by each replica alone until their server answers again: {error}"
        );
    }

    fn name(&self) -> String {
        let endpoints = self.store.endpoints.iter();
        let names: Vec<String> = endpoints.map(|it| format!("{}:{}", it.host, it.port)).collect();
        names.join(", ")
    }
}

/// Connects, and again whenever the connection is lost, until nobody has the link any more.
async fn keep(link: Weak<Link>) {
    let mut pause = PAUSES.0;
    loop {
        let Some(held) = link.upgrade() else { return };
        match connect(&held.store).await {
            Ok(connection) => {
                if matches!(*held.state.borrow(), State::Away) {
                    let (listener, store) = (&held.listener, held.name());
                    tracing::info!(%listener, store, "the server of limits answers again");
                }
                held.set(State::Connected(connection));
                let since = Instant::now();
                // Without holding it, so that it can end.
                while timeout(UNUSED, held.lost.notified()).await.is_err() {
                    if Rc::strong_count(&held) == 1 {
                        return;
                    }
                }
                // One that is given up at once, again and again, costs more than one that is away.
                if since.elapsed() > PAUSES.1 {
                    pause = PAUSES.0;
                }
            }
            Err(error) => {
                if matches!(*held.state.borrow(), State::New) {
                    held.set(State::Away);
                    held.warn(&error);
                }
            }
        }
        drop(held);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// A connection to the first address that answers.
async fn connect(store: &Store) -> Result<Connection, String> {
    let mut failed = "it has no address".to_owned();
    for endpoint in &store.endpoints {
        for address in &endpoint.addresses {
            let connecting = connect_to(store, endpoint, *address);
            match timeout(store.connect.min(LONGEST_CONNECT), connecting).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => failed = format!("{address}: {error}"),
                Err(_late) => failed = format!("{address}: it does not answer in time"),
            }
        }
    }
    Err(failed)
}

/// Names are resolved ahead, as those of backends: whoever wrote one does not choose what the gateway connects to.
async fn connect_to(
    store: &Store,
    endpoint: &StoreEndpoint,
    address: SocketAddr,
) -> Result<Connection, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = &store.tls else {
        return log_in(store, stream).await;
    };
    // Only where they are needed: reading them takes a while.
    let platform = match tls.authorities.is_none() && !tls.unverified {
        true => PlatformRoots::new(rustls_native_certs::load_native_certs().certs),
        false => PlatformRoots::default(),
    };
    let config = door::store_client(tls, &platform)?;
    let name = ServerName::try_from(endpoint.host.to_string())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    log_in(store, stream).await
}

async fn log_in(
    store: &Store,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Connection, Box<dyn std::error::Error>> {
    let mut login = RedisConnectionInfo::default()
        .set_db(store.db.into())
        .set_skip_set_lib_name();
    if let Some(username) = &store.login.username {
        login = login.set_username(username);
    }
    if let Some(password) = &store.login.password {
        login = login.set_password(password);
    }
    // Each request has its own time.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let (asks, driver) = MultiplexedConnection::new_with_config(&login, Vetted::new(stream), config).await?;
    let driver = tokio::task::spawn_local(driver);
    Ok(Connection { asks, driver })
}
