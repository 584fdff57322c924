//! Connections to servers: one each, kept and made anew.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use filter::rate::Wait;
use filter::store::{SCRIPT, Store, StoreEndpoint, arguments, verdict};
use redis::aio::MultiplexedConnection;
use redis::io::AsyncDNSResolver;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisFuture, Script, TlsCertificates,
};
use route::ListenerName;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::taking::{Silent, Taking};

/// Between two attempts to reach a server, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The most that an attempt takes, whatever is configured.
const LONGEST_CONNECT: Duration = Duration::from_secs(5);

/// So many requests without an answer, one after another, and a connection is given up.
const MOST_MISSED: u32 = 3;

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
    missed: Cell<u32>,
    used: Cell<Instant>,
}

enum State {
    /// The first connection is being made.
    New,
    Connected(MultiplexedConnection),
    Away,
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
            missed: Cell::new(0),
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
            Ok(Ok(early)) => {
                self.missed.set(0);
                Ok(verdict(early))
            }
            // Of no use, whatever the reason: it may have become a replica, or its password may be another.
            Ok(Err(error)) => {
                self.give_up(&error);
                Err(Silent)
            }
            Err(_late) => {
                self.missed.set(self.missed.get() + 1);
                if self.missed.get() >= MOST_MISSED {
                    self.give_up(&"it does not answer in time");
                }
                Err(Silent)
            }
        }
    }

    async fn connection(&self, until: Instant) -> Result<MultiplexedConnection, Silent> {
        loop {
            let changed = self.changed.notified();
            match &*self.state.borrow() {
                State::Connected(connection) => return Ok(connection.clone()),
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
        self.missed.set(0);
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
                pause = PAUSES.0;
                // Without holding it, so that it can end.
                while timeout(UNUSED, held.lost.notified()).await.is_err() {
                    if Rc::strong_count(&held) == 1 {
                        return;
                    }
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
async fn connect(store: &Store) -> Result<MultiplexedConnection, String> {
    let mut failed = "it has no address".to_owned();
    for endpoint in &store.endpoints {
        for address in &endpoint.addresses {
            match connect_to(store, endpoint, *address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = format!("{address}: {error}"),
            }
        }
    }
    Err(failed)
}

async fn connect_to(
    store: &Store,
    endpoint: &StoreEndpoint,
    address: SocketAddr,
) -> Result<MultiplexedConnection, RedisError> {
    let (host, port) = (endpoint.host.to_string(), endpoint.port);
    let mut login = RedisConnectionInfo::default()
        .set_db(store.db.into())
        .set_skip_set_lib_name();
    if let Some(username) = &store.login.username {
        login = login.set_username(username);
    }
    if let Some(password) = &store.login.password {
        login = login.set_password(password);
    }
    let client = match &store.tls {
        None => Client::open(
            ConnectionAddr::Tcp(host, port)
                .into_connection_info()?
                .set_redis_settings(login),
        )?,
        Some(tls) => {
            let to = ConnectionAddr::TcpTls {
                host,
                port,
                insecure: tls.unverified,
                tls_params: None,
            };
            let identity = tls.identity.as_ref().map(|(certificate, key)| ClientTlsConfig {
                client_cert: certificate.to_vec(),
                client_key: key.to_vec(),
            });
            let certificates = TlsCertificates {
                client_tls: identity,
                root_cert: tls.authorities.as_ref().map(|authorities| authorities.to_vec()),
            };
            Client::build_with_tls(to.into_connection_info()?.set_redis_settings(login), certificates)?
        }
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(store.connect.min(LONGEST_CONNECT)))
        // Each request has its own time.
        .set_response_timeout(None)
        .set_dns_resolver(Resolved(address));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Names are resolved ahead, as those of backends: whoever wrote one does not choose what the gateway connects to.
struct Resolved(SocketAddr);

impl AsyncDNSResolver for Resolved {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _host: &'b str,
        _port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        let only: Box<dyn Iterator<Item = SocketAddr> + Send> = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(only)))
    }
}
