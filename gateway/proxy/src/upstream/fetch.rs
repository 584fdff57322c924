//! A small answer for the gateway itself, from an upstream that routes use too: over the same connections.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use door::{Upstream, UpstreamProtocol};
use http::{Method, Request, Response, Version};

use super::balance::Chosen;
use super::call::{CallError, Persistence, over_http1, over_stream};
use super::choice::Choice;
use super::conduct::{Conduct, Fault};
use super::endpoint::Reuse;
use super::places::Asker;
use super::tries::Again;
use super::{ConnectError, Upstreams};

/// To connect to an endpoint.
const CONNECT: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// No endpoint, or none that accepts a connection.
    #[error("no endpoint of Service `{0}` accepts a connection")]
    Unreachable(route::ObjectKey),
    /// The answer is not complete, or too large.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// What is asked.
struct Question {
    request: Request<Bytes>,
    /// It may be asked twice: it has no body, and no effect.
    is_repeatable: bool,
    most: usize,
    until: tokio::time::Instant,
}

/// Why an endpoint has not answered.
enum Failed {
    NoConnection(ConnectError),
    Call { error: CallError, again: Option<Again> },
}

impl Upstreams {
    /// Asks an endpoint. Of the answer at most `most` bytes of body are taken; the whole may take `timeout`. Another
    /// endpoint is tried where no connection was to be had, and once where a connection ended in silence and the request may
    /// be repeated.
    pub(crate) async fn fetch(
        &self,
        upstream: &Upstream,
        request: Request<Bytes>,
        most: usize,
        timeout: Duration,
    ) -> Result<Response<Bytes>, FetchError> {
        let question = Question {
            is_repeatable: request.body().is_empty()
                && matches!(*request.method(), Method::GET | Method::HEAD),
            request,
            most,
            until: tokio::time::Instant::now() + timeout,
        };
        let fetched = self.try_endpoints(upstream, &question);
        // That an answer is late is known first to who waits for it, and reported.
        let fetched = tokio::time::timeout_at(question.until, fetched).await;
        fetched.unwrap_or(Err(FetchError::Call(CallError::Late)))
    }

    async fn try_endpoints(
        &self,
        upstream: &Upstream,
        question: &Question,
    ) -> Result<Response<Bytes>, FetchError> {
        // Only what may be sent twice uses a connection that may be closing.
        let mut rule = match question.is_repeatable {
            true => Reuse::Any,
            false => Reuse::Sure,
        };
        let mut choice = Choice::default();
        let mut last = FetchError::Unreachable(upstream.service.clone());
        while let Some(chosen) = self.choose(upstream, &choice) {
            let endpoint = Rc::clone(&chosen.endpoint);
            let is_last_resort = chosen.last_resort.is_some();
            let again = match self.ask(upstream, chosen, question, rule).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::NoConnection(error)) => {
                    self.report(upstream, &endpoint, error.conduct());
                    error.again().filter(|_| !is_last_resort)
                }
                Err(Failed::Call { error, again }) => {
                    last = FetchError::Call(error);
                    again
                }
            };
            let Some(again) = again.filter(|again| choice.go_on(*again, &endpoint)) else {
                break;
            };
            if again != Again::Unreached {
                // One has just turned out to be closed, and others may be closed too.
                rule = Reuse::None;
            }
        }
        Err(last)
    }

    async fn ask(
        &self,
        upstream: &Upstream,
        chosen: Chosen,
        question: &Question,
        rule: Reuse,
    ) -> Result<Response<Bytes>, Failed> {
        let endpoint = Rc::clone(&chosen.endpoint);
        let _in_flight = endpoint.begin();
        let begun = Cell::new(false);
        let is_http2 = match &upstream.protocol {
            UpstreamProtocol::H2c => true,
            UpstreamProtocol::Tls(tls) => tls.h2,
            UpstreamProtocol::Http1 => false,
        };
        let (answer, fresh, blamed) = if is_http2 {
            let (mut head, content) = question.request.clone().into_parts();
            head.version = Version::HTTP_2;
            let head = Request::from_parts(head, ());
            endpoint.connects_for(&upstream.service);
            let opened = endpoint.open_stream(head, content.is_empty(), Asker::unknown(), CONNECT);
            let (mut stream, place) = opened.await.map_err(Failed::NoConnection)?;
            drop(chosen);
            let asked = over_stream(&mut stream, &content, question.most, &begun);
            let answer = in_time(question.until, asked).await;
            if begun.get() {
                place.prove();
            }
            let fresh = place.is_fresh();
            // All requests on a shared connection see its end, which counts once.
            let blamed = matches!(answer, Err(CallError::Silent(_))) && place.blame();
            (answer, fresh, blamed)
        } else {
            let kept = endpoint.reuse(rule, Instant::now());
            let fresh = kept.is_none();
            let mut socket = match kept {
                Some(socket) => socket,
                None => {
                    endpoint.connects_for(&upstream.service);
                    endpoint.connect(CONNECT).await.map_err(Failed::NoConnection)?
                }
            };
            drop(chosen);
            let most = Some(question.most);
            let asked = over_http1(&mut socket, &question.request, most, Persistence::Lasts, &begun);
            let answer = in_time(question.until, asked).await;
            let answer = answer.map(|(answer, is_reusable)| {
                if is_reusable {
                    endpoint.keep(socket, Instant::now());
                }
                answer
            });
            (answer, fresh, fresh)
        };
        self.report(upstream, &endpoint, conduct(&answer, begun.get(), blamed));
        answer.map_err(|error| Failed::Call {
            again: again(&error, fresh).filter(|again| {
                // What was not processed may always be sent again.
                question.is_repeatable || *again == Again::Unprocessed
            }),
            error,
        })
    }
}

/// What is there by then.
async fn in_time<T>(
    until: tokio::time::Instant,
    asked: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let answer = tokio::time::timeout_at(until, asked).await;
    answer.unwrap_or(Err(CallError::Late))
}

/// What an answer says about its endpoint. `begun`: its head has come. `blamed`: the end of the connection counts, because
/// nothing has ever come on it.
fn conduct(answer: &Result<Response<Bytes>, CallError>, begun: bool, blamed: bool) -> Conduct {
    let error = match answer {
        Ok(answer) if answer.status().is_server_error() => return Conduct::Poor,
        Ok(_) => return Conduct::Good,
        Err(error) => error,
    };
    match error {
        CallError::TooLarge | CallError::Unprocessed | CallError::GivenUp(h2::Reason::CANCEL) => {
            Conduct::Unknown
        }
        // A used connection may have been closed because of its age.
        CallError::Silent(_) if !blamed => Conduct::Unknown,
        _ if begun => Conduct::Poor,
        CallError::Late => Conduct::Bad(Fault::Slow),
        CallError::Malformed => Conduct::Bad(Fault::Malformed),
        CallError::Silent(_) | CallError::Broken(_) | CallError::Http2(_) | CallError::GivenUp(_) => {
            Conduct::Bad(Fault::Broken)
        }
    }
}

/// Where what may be repeated is sent again. `fresh`: nothing has ever come on the connection.
fn again(error: &CallError, fresh: bool) -> Option<Again> {
    match error {
        CallError::Unprocessed => Some(Again::Unprocessed),
        CallError::Silent(_) if fresh => Some(Again::Elsewhere),
        CallError::Silent(_) => Some(Again::Anywhere),
        CallError::GivenUp(_)
        | CallError::Broken(_)
        | CallError::Http2(_)
        | CallError::Malformed
        | CallError::TooLarge
        | CallError::Late => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::rc::Rc;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::upstream::balance::tests::upstream;
    use crate::worker::memory::Memory;

    /// Answers everything on every connection.
    async fn serve(listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::task::spawn_local(async move {
                let mut head = [0; 1024];
                while stream.read(&mut head).await.is_ok_and(|count| count > 0) {
                    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                }
            });
        }
    }

    async fn bind() -> (TcpListener, door::Endpoint) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, door::Endpoint::at(address))
    }

    /// As for requests: after a few failures in a row nothing more is asked there.
    #[test]
    fn an_endpoint_that_is_silent_or_slow_is_ejected() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let test = async {
            for beginning in [
                "",
                "HTTP/1.1 200 OK\r\nContent-",
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
            ] {
                let ((good, its), (bad, others)) = (bind().await, bind().await);
                tokio::task::spawn_local(serve(good));
                let asked = Rc::new(Cell::new(0));
                let count = Rc::clone(&asked);
                tokio::task::spawn_local(async move {
                    let mut open = Vec::new();
                    while let Ok((mut stream, _)) = bad.accept().await {
                        count.set(count.get() + 1);
                        stream.write_all(beginning.as_bytes()).await.unwrap();
                        open.push(stream);
                    }
                });
                let upstream = Upstream {
                    endpoints: [its, others].into_iter().collect(),
                    ..upstream(&[])
                };
                let upstreams =
                    Upstreams::new(Arc::default(), Arc::default(), Rc::default(), Memory::of_tests());
                for _ in 0..100 {
                    let request = Request::get("http://auth/x").body(Bytes::new()).unwrap();
                    let answer = upstreams.fetch(&upstream, request, 100, Duration::from_millis(20));
                    let _answered_or_late = answer.await;
                }
                let asked = asked.get();
                // What answers in part gets fewer and fewer requests, like one that answers 500.
                let most = if beginning.ends_with("\r\n\r\n") { 40 } else { 10 };
                assert!(asked <= most, "{beginning:?}: asked {asked} times");
            }
        };
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime.unwrap(), test);
    }
}
