//! Why an exchange failed, in words: what happened, after how long, and how much had passed by then.

use super::Exchange;
use super::cause::{Cause, Setting};
use super::progress::{Request, Word};
use crate::refusal::Refusal;

impl Exchange<'_> {
    /// Why it fails with this refusal.
    pub(super) fn cause_of(&mut self, refusal: &Refusal) -> Option<Cause> {
        if let Some(nonsense) = self.nonsense.take() {
            return Some(nonsense.into());
        }
        let timeouts = &self.timeouts;
        let uploaded = self.parts.upload.moved();
        let downloaded = self.answer().map_or(0, |answer| answer.download.moved());
        let waited = |words: String, setting| {
            Some(Cause {
                words: words.into(),
                setting: Some(setting),
            })
        };
        match refusal {
            Refusal::UpstreamReset => Some(self.no_head().into()),
            Refusal::UpstreamGaveUp(reason) => {
                Some(format!("the backend reset the request with {reason:?} before its response").into())
            }
            Refusal::UpstreamBrokeOff(reason) => Some(
                format!("the backend reset the request with {reason:?} after {downloaded} bytes of its response's body").into(),
            ),
            Refusal::UpstreamTruncated => {
                let left = self.answer().and_then(|answer| answer.download.left());
                let of = match left {
                    Some(left) => format!(" of {}", downloaded + left),
                    None => String::new(),
                };
                let ending = self.ending.words();
                Some(format!("{ending} within the response's body, after {downloaded} bytes{of}").into())
            }
            Refusal::UpstreamTimeout => waited(
                format!("no response head within {:?}", timeouts.response_head),
                Setting::ResponseHead,
            ),
            Refusal::UpstreamStalled if self.upload_stalls() => waited(
                format!(
                    "the backend took nothing of the request's body for {:?}, after {uploaded} bytes",
                    timeouts.body_idle
                ),
                Setting::BodyIdle,
            ),
            Refusal::UpstreamStalled => waited(
                format!(
                    "nothing of the response's body came for {:?}, after {downloaded} bytes",
                    timeouts.response_idle
                ),
                Setting::ResponseIdle,
            ),
            Refusal::BodyTimeout => waited(
                format!(
                    "too little of the request's body came for {:?}, after {uploaded} bytes",
                    timeouts.body_idle
                ),
                Setting::BodyIdle,
            ),
            Refusal::ClientStalled => waited(
                format!(
                    "the client took too little of the response for {:?}, after {downloaded} bytes of its body had come",
                    timeouts.write_stall
                ),
                Setting::WriteStall,
            ),
            Refusal::ClientGone => Some(self.client_left(uploaded, downloaded)),
            Refusal::Overload => Some(
                "memory is short, and the client does not read what is held for it".to_owned().into(),
            ),
            Refusal::Head(_)
            | Refusal::HeadTimeout
            | Refusal::Host(_)
            | Refusal::HostMismatch
            | Refusal::Path(_)
            | Refusal::Method
            | Refusal::HostMissing
            | Refusal::NotForHttp2
            | Refusal::Protocol
            | Refusal::Misdirected
            | Refusal::Outdated
            | Refusal::NoRoute
            | Refusal::NotSynced
            | Refusal::Blocked
            | Refusal::NoEndpoint
            | Refusal::Body(_)
            | Refusal::Trailers
            | Refusal::BodyTooLarge
            | Refusal::TrailersTooLarge
            | Refusal::ConnectFailed(_)
            | Refusal::ConnectTimeout
            | Refusal::UpstreamTls(_)
            | Refusal::DeadlineExceeded
            | Refusal::UpstreamMalformed
            | Refusal::UpstreamTrailers
            | Refusal::Shed
            | Refusal::Drained
            | Refusal::Withdrawn => None,
        }
    }

    /// Why there is no response head.
    fn no_head(&self) -> String {
        if self.word == Some(Word::Unprocessed) {
            return "the backend says that it has not processed the request (REFUSED_STREAM or GOAWAY)"
                .to_owned();
        }
        let ending = self.ending.words();
        let read = self.parts.scratch.from_upstream.len();
        let of_head = match read {
            0 => "before the first byte of its response".to_owned(),
            read => format!("within the head of its response, after {read} bytes of it"),
        };
        match self.request {
            Request::Sent => format!("{ending} {of_head}"),
            Request::Sending | Request::Broken => {
                let sent = self.parts.upload.moved();
                format!("{ending} {of_head}, and had not taken all of the request ({sent} bytes of its body)")
            }
        }
    }

    fn client_left(&self, uploaded: u64, downloaded: u64) -> Cause {
        let when = match (self.has_answered(), self.request) {
            (true, _) => format!("after {downloaded} bytes of the response's body"),
            (false, Request::Sending) => format!("within the request's body, after {uploaded} bytes"),
            (false, Request::Sent | Request::Broken) => "before the response".to_owned(),
        };
        format!("the client closed the connection {when}").into()
    }
}
