//! What is known of a client's connection since it was made, by which its requests are judged.

use std::rc::Rc;

use door::{Handshake, Snapshot, TlsVersion};

use crate::head::identity::Peer;
use crate::settings::Settings;
use crate::worker::memory::Charge;

/// Whose connection it is, and what its TLS handshake settled if the door terminates TLS.
#[derive(Clone)]
pub(crate) struct Downstream {
    pub(crate) peer: Peer,
    pub(crate) session: Option<Rc<Session>>,
}

/// What the TLS handshake of a connection settled.
pub(crate) struct Session {
    pub(crate) handshake: Handshake,
    pub(crate) version: TlsVersion,
    /// The server name that the client asked for (SNI), in its normal form.
    pub(crate) server_name: Option<Box<str>>,
    /// The client's verified certificate, as `X-Forwarded-Client-Cert` describes it.
    pub(crate) certificate: Option<Box<str>>,
    /// The memory of the session.
    pub(crate) _held: Charge,
}

impl Downstream {
    /// A connection in clear text.
    pub(crate) fn clear(peer: Peer) -> Self {
        Self { peer, session: None }
    }

    /// Whether the connection has what the door now requires of connections. If not, it can serve no further request,
    /// whatever its host.
    pub(crate) fn is_entitled(&self, snapshot: &Snapshot<Settings>) -> bool {
        let settings = snapshot.settings();
        let shook_hands = match (&self.session, snapshot.tls()) {
            (Some(session), Some(tls)) => {
                snapshot.ends_tls()
                    && tls.is_satisfied_by(&session.handshake)
                    && session.version >= tls.min_version()
            }
            (Some(_), None) => false,
            (None, _) => !snapshot.ends_tls(),
        };
        shook_hands && self.peer.came_as(settings)
    }

    /// The client's verified certificate, as `X-Forwarded-Client-Cert` describes it.
    pub(crate) fn certificate(&self) -> Option<&str> {
        self.session.as_ref()?.certificate.as_deref()
    }
}
