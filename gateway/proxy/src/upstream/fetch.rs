//! A small answer for the gateway itself, from an upstream that routes use too.

use std::time::Duration;

use bytes::Bytes;
use door::Upstream;
use http::{Request, Response};

use super::Upstreams;
use super::call::{Call, CallError};
use super::choice::Choice;
use super::conduct::{Conduct, Fault};

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

impl Upstreams {
    /// Asks an endpoint. Of the answer at most `most` bytes of body are taken; the whole may take `timeout`. Another
    /// endpoint is tried only where no connection was to be had.
    pub(crate) async fn fetch(
        &self,
        upstream: &Upstream,
        request: Request<Bytes>,
        most: usize,
        timeout: Duration,
    ) -> Result<Response<Bytes>, FetchError> {
        let fetched = async {
            let (call, endpoint) = self.call(upstream).await?;
            let answer = call.send(request, Some(most), timeout).await;
            self.report(
                upstream,
                &endpoint,
                match &answer {
                    Ok(answer) if answer.status().is_server_error() => Conduct::Poor,
                    Ok(_) => Conduct::Good,
                    Err(CallError::Malformed) => Conduct::Bad(Fault::Malformed),
                    Err(CallError::Broken(_) | CallError::Http2(_)) => Conduct::Poor,
                    Err(CallError::TooLarge | CallError::Late) => Conduct::Unknown,
                },
            );
            Ok(answer?)
        };
        let fetched = tokio::time::timeout(timeout, fetched).await;
        fetched.unwrap_or(Err(FetchError::Call(CallError::Late)))
    }

    async fn call(&self, upstream: &Upstream) -> Result<(Call, std::rc::Rc<super::Endpoint>), FetchError> {
        let mut choice = Choice::default();
        while let Some(chosen) = self.choose(upstream, &choice) {
            let endpoint = chosen.endpoint;
            let error = match Call::connect(endpoint.address(), &upstream.protocol, CONNECT).await {
                Ok(call) => return Ok((call, endpoint)),
                Err(error) => error,
            };
            self.report(upstream, &endpoint, error.conduct());
            let goes_on = error.again().is_some_and(|again| choice.go_on(again, &endpoint));
            if chosen.last_resort.is_some() || !goes_on {
                break;
            }
        }
        Err(FetchError::Unreachable(upstream.service.clone()))
    }
}
