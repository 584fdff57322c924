//! Timeouts towards backends.

use std::time::Duration;

use super::row::{Setting, Stake, Subject, honoured};
use super::value::SECONDS;
use crate::problem::Severity;

/// What a request may wait for a connection at most, whatever its Ingress says.
const LONGEST_CONNECT: Duration = Duration::from_secs(60);

pub(super) const SUBJECT: Subject = Subject {
    title: "Timeouts",
    ingress: &[
        honoured(
            "nginx.ingress.kubernetes.io/proxy-connect-timeout",
            "to connect to a backend; more than 60 counts as 60",
            &Setting {
                value: &SECONDS,
                default: "the door's `timeouts.connect`",
                stake: Stake::Convenience,
                put: |parsed, time, written| {
                    parsed.tuning.connect_timeout = Some(time.min(LONGEST_CONNECT));
                    if time > LONGEST_CONNECT {
                        let message = format!(
                            "`{}` is longer than a request may wait for a connection; it counts as {} s",
                            written.value,
                            LONGEST_CONNECT.as_secs()
                        );
                        written.report(Severity::Warning, message);
                    }
                },
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/proxy-read-timeout",
            "between two reads from the backend",
            &Setting {
                value: &SECONDS,
                default: "the door's `timeouts.response_head` and `timeouts.response_idle`",
                stake: Stake::Convenience,
                put: |parsed, time, _| parsed.tuning.read_timeout = Some(time),
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/proxy-send-timeout",
            "between two writes to the backend",
            &Setting {
                value: &SECONDS,
                default: "the door's `timeouts.body_idle`",
                stake: Stake::Convenience,
                put: |parsed, time, _| parsed.tuning.send_timeout = Some(time),
            },
        ),
    ],
    service: &[],
    review: None,
};
