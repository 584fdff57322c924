//! What is to be tried: the doors, and for each ordered pair of them what must not be answered.

use std::net::SocketAddr;

/// Everything that is to be tried.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The doors.
    pub doors: Vec<Door>,
    /// The ordered pairs of doors.
    pub pairs: Vec<Pair>,
    /// A host that exists nowhere, to stand beside others. No [`Control`] has it: a request with the same host in two places is
    /// another one than with two hosts.
    pub nowhere: String,
}

/// A door as a client sees it.
#[derive(Debug, Clone)]
pub struct Door {
    /// Its name.
    pub name: String,
    /// Where it is reached.
    pub address: SocketAddr,
    /// Clients speak TLS to it.
    pub tls: bool,
    /// Whether HTTP/2 is spoken to it: by prior knowledge where it is plain, else if the handshake chooses it.
    pub http2: Http2,
    /// Its clients must present a certificate.
    pub wants_certificate: bool,
    /// Whether its connections begin with a PROXY header.
    pub proxy: ProxyHeader,
    /// The address that the door has by its configuration, which a forged PROXY header names.
    pub bind: SocketAddr,
    /// What the door answers itself; `None` if that is nothing.
    pub own: Option<Own>,
}

/// Whether a door speaks HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http2 {
    /// It does not.
    No,
    /// It may: something else may stand in front of it.
    Maybe,
    /// It does. If not, that is told.
    Yes,
}

/// Whether a door's connections begin with a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// They do not have to.
    Off,
    /// They must.
    Required,
    /// They must, unless something else stands in front of the door that writes it.
    Behind,
}

/// A host and path that a door answers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The host.
    pub host: String,
    /// The path.
    pub path: String,
}

/// An ordered pair of doors.
#[derive(Debug, Clone, Default)]
pub struct Pair {
    /// The door to which the hosts belong, by its place in [`Plan::doors`].
    pub from: usize,
    /// The door that is attacked with them.
    pub at: usize,
    /// What is tried.
    pub targets: Vec<Target>,
    /// How many hosts the attacked door serves as well, by rules of its own: nothing keeps them apart.
    pub shared: usize,
    /// How many more hosts could be tried.
    pub left_out: usize,
    /// What cannot be tried, and why.
    pub not_tried: Vec<String>,
}

/// A host and path of one door that another must not answer.
#[derive(Debug, Clone)]
pub struct Target {
    /// The host.
    pub host: String,
    /// The path.
    pub path: String,
    /// The rule's object: `namespace/name`.
    pub ingress: String,
    /// What the attacked door may answer beside what it answers for a host that exists nowhere.
    pub expected: Expected,
    /// The attacked door has a certificate for the host, whatever it serves.
    pub has_certificate: bool,
    /// What exists nowhere, to compare with. At least one.
    pub controls: Vec<Control>,
}

/// What an attacked door may answer for a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing else than for a host that exists nowhere.
    Nothing,
    /// A redirect to https for the same host: the door redirects to the one that the host belongs to.
    Redirect,
}

/// A host and path that no rule of the attacked door is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The host.
    pub host: String,
    /// The path.
    pub path: String,
}
