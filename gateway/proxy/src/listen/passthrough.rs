//! TLS that is passed through: the server name selects a route, and the connection is forwarded unchanged.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use door::{Action, DoorTls, Route};
use route::{HostBuf, normalise_sni};
use rustls::server::Acceptor;
use tokio::net::TcpStream;

use crate::exchange::tenure::{Occupant, Tenure};
use crate::exchange::tunnel::Tunnel;
use crate::head::downstream::Downstream;
use crate::head::identity::Peer;
use crate::listen::peek::Step;
use crate::observe::access::Times;
use crate::refusal::Refusal;
use crate::request::cause;
use crate::request::record::Record;
use crate::request::requester::Server;
use crate::stream::Stream;
use crate::upstream::connecting::while_wanted;
use crate::upstream::{Choice, Chosen};

/// The route that passes a connection through, and the server name that selected it.
type Passthrough = (Arc<Route>, String);

/// Whether the server name of a handshake that begins with `bytes` belongs to a route that passes TLS through.
pub(super) fn passthrough(tls: &DoorTls, bytes: &[u8]) -> io::Result<Step<Option<Passthrough>>> {
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    let accepted = loop {
        // It reads a part of them at a time.
        if acceptor.read_tls(&mut rest)? == 0 {
            return Ok(Step::More);
        }
        match acceptor.accept() {
            Ok(None) => {}
            outcome => break outcome,
        }
    };
    match accepted {
        Ok(None) => Ok(Step::More),
        // If something is wrong with it, the handshake will report that.
        Err(_) => Ok(Step::Done(None)),
        Ok(Some(accepted)) => {
            let mut buffer = HostBuf::new();
            let hello = accepted.client_hello();
            let name = hello
                .server_name()
                .and_then(|name| normalise_sni(name.as_bytes(), &mut buffer).ok());
            let route =
                name.and_then(|name| Some((Arc::clone(tls.passthrough(&name)?), name.as_str().to_owned())));
            Ok(Step::Done(route))
        }
    }
}

/// A connection that is passed through: its client, and its route.
pub(super) struct Passed<'a> {
    pub(super) peer: Peer,
    pub(super) route: &'a Arc<Route>,
    pub(super) name: &'a str,
    pub(super) publication: u64,
}

impl Passed<'_> {
    /// Connects the client to a backend of the route and relays bytes both ways.
    pub(super) async fn pass_through(&self, stream: TcpStream, server: &Server) {
        let worker = &server.worker;
        let mut record = Record::new(Instant::now());
        record.connection(worker, self.peer.address, self.name, self.route);
        let _under_way = worker.under_way();
        let outcome = self.tunnel(stream, server, &mut record).await;
        if let Err(refusal) = outcome {
            record.refused(&refusal);
        }
        record.finish(worker, &Downstream::clear(self.peer));
    }

    async fn tunnel(&self, stream: TcpStream, server: &Server, record: &mut Record) -> Result<(), Refusal> {
        let Server {
            worker, upstreams, ..
        } = server;
        let Action::Forward(upstream) = &self.route.action else {
            return Err(Refusal::Blocked);
        };
        record.service = Some(Arc::clone(upstream));
        let timeouts = worker.door.snapshot().settings().timeouts;
        let timeout = self.route.tuning.connect.unwrap_or(timeouts.connect);
        let deadline = worker.deadlines.register();
        let mut client = Stream::plain(stream);
        let mut choice = Choice::default();
        let mut chosen = upstreams.choose(upstream, &choice);
        let mut last = Refusal::NoEndpoint;
        let (_in_flight, backend) = loop {
            let Chosen {
                endpoint,
                last_resort,
            } = match chosen {
                Some(chosen) => chosen,
                None => {
                    if matches!(last, Refusal::NoEndpoint) {
                        record.explain(cause::no_endpoint(upstream));
                    }
                    return Err(last);
                }
            };
            record.attempt(endpoint.address());
            let in_flight = endpoint.begin();
            endpoint.connects_for(&upstream.service);
            let connecting = endpoint.connect(timeout);
            let began = Instant::now();
            let connected = while_wanted(&mut client, &deadline, worker, None, connecting).await;
            Times::add(&mut record.times.connect, began);
            let error = match connected? {
                Ok(socket) => break (in_flight, socket),
                Err(error) => error,
            };
            record.explain(cause::of_connecting(
                &error,
                timeout,
                self.route,
                last_resort.is_some(),
            ));
            upstreams.report(upstream, &endpoint, error.conduct());
            let again = match (&last_resort, error.again()) {
                (None, Some(again)) => again,
                (None, None) => return Err(error.refusal()),
                (Some(_), _) => return Err(Refusal::NoEndpoint),
            };
            if !choice.go_on(again, &endpoint) {
                return Err(error.refusal());
            }
            worker.metrics.upstream_retries.add(1);
            worker.metrics.routes.service(&upstream.service).tried_again();
            last = error.refusal();
            chosen = upstreams.choose(upstream, &choice);
        };
        let mut loan = worker.buffers.borrow();
        let _upgraded = worker.upgraded();
        let mut backend = Stream::Socket(backend);
        let mut tunnel = Tunnel::new(
            &mut client,
            &mut backend,
            loan.scratch(),
            &deadline,
            &worker.pipes,
            timeouts.write_stall,
        );
        let tenure = Tenure::new(worker, self.route, self.publication);
        let occupant = Occupant::Passed {
            peer: &self.peer,
            name: self.name,
        };
        let outcome = tunnel.run(tenure, occupant).await;
        (record.bytes_in, record.bytes_out) = tunnel.moved();
        outcome
    }
}
