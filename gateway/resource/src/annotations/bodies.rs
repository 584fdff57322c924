//! Bodies of requests and responses.

use super::row::{Setting, Stake, Subject, closes, honoured, ignored, ignored_except};
use super::value::{OFF, SIZE};

const STREAMED: &str = "bodies are always streamed";

pub(super) const SUBJECT: Subject = Subject {
    title: "Bodies",
    ingress: &[
        honoured(
            "nginx.ingress.kubernetes.io/proxy-body-size",
            "the largest body of a request; 0 for no limit of its own; the door's `limits.body` is never exceeded",
            &Setting {
                value: &SIZE,
                default: "the door's `limits.body`",
                stake: Stake::Convenience,
                put: |parsed, size, _| parsed.tuning.body_size = Some(size),
            },
        ),
        closes("blastdoor.dev/body-limit", "not supported yet"),
        closes("blastdoor.dev/request-buffering", "not supported yet"),
        closes("blastdoor.dev/compress*", "not supported yet"),
        ignored_except(OFF, "nginx.ingress.kubernetes.io/proxy-buffering", STREAMED),
        ignored_except(
            OFF,
            "nginx.ingress.kubernetes.io/proxy-request-buffering",
            STREAMED,
        ),
        ignored("nginx.ingress.kubernetes.io/proxy-buffer-size", STREAMED),
        ignored("nginx.ingress.kubernetes.io/proxy-buffers-number", STREAMED),
        ignored("nginx.ingress.kubernetes.io/proxy-busy-buffers-size", STREAMED),
        ignored("nginx.ingress.kubernetes.io/proxy-max-temp-file-size", STREAMED),
        ignored("nginx.ingress.kubernetes.io/client-body-buffer-size", STREAMED),
    ],
    service: &[],
    review: None,
};
