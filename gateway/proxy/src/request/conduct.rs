//! What an exchange says about its endpoint.

use crate::exchange::{Ended, Failure};
use crate::refusal::{Refusal, Side};
use crate::upstream::conduct::{Conduct, Fault};

/// A backend that breaks off a request with more than this of its body unread may have a reason that it could not send: it
/// would have had to read the whole body first.
const LONG_BODY: u64 = 64 * 1024;

/// What is known of an exchange besides its outcome.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    /// A response head has come.
    pub(crate) answered: bool,
    /// And it says that the backend failed.
    pub(crate) poor: bool,
    /// The end of its connection must be counted: no response has arrived on it, and it has not been counted yet.
    pub(crate) fresh: bool,
    /// Body bytes of the request taken from the client, if that is not all of them.
    pub(crate) unsent: Option<u64>,
}

/// What an exchange with this outcome says.
pub(crate) fn of(outcome: &Result<Ended, Failure>, with: Circumstances) -> Conduct {
    let answered = if with.poor { Conduct::Poor } else { Conduct::Good };
    let failure = match outcome {
        Ok(Ended::Answered { .. } | Ended::Upgraded | Ended::Intercepted) => return answered,
        Err(failure) => failure,
    };
    if with.answered {
        // It may have waited for the rest of the request.
        if matches!(failure.refusal, Refusal::UpstreamStalled) && with.unsent.is_some() {
            return answered;
        }
        return match failure.refusal.disposition().side {
            Side::Client | Side::Gateway => answered,
            Side::Upstream => Conduct::Poor,
        };
    }
    let refusal = &failure.refusal;
    if matches!(refusal, Refusal::UpstreamMalformed) {
        return Conduct::Bad(Fault::Malformed);
    }
    if matches!(refusal, Refusal::UpstreamTimeout | Refusal::UpstreamStalled) {
        return Conduct::Bad(Fault::Slow);
    }
    let unread = with.unsent.is_some_and(|bytes| bytes > LONG_BODY);
    // A used connection may have been closed because of its age.
    let aged = failure.silent && !with.fresh;
    if !matches!(refusal, Refusal::UpstreamReset | Refusal::UpstreamGaveUp(_))
        || failure.unprocessed
        || failure.cancelled
        || unread
        || aged
    {
        return Conduct::Unknown;
    }
    Conduct::Bad(Fault::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_endpoint_did_is_held_against_it() {
        let fine = Circumstances {
            answered: true,
            poor: false,
            fresh: true,
            unsent: None,
        };
        let poor = Circumstances { poor: true, ..fine };
        let before = Circumstances {
            answered: false,
            ..fine
        };
        let aged = Circumstances {
            fresh: false,
            ..before
        };
        let unread = |bytes| Circumstances {
            unsent: Some(bytes),
            ..before
        };
        let answered = Ended::Answered {
            reuse: true,
            keep: true,
        };
        let failure = |refusal| Failure {
            silent: matches!(refusal, Refusal::UpstreamReset),
            refusal,
            unprocessed: false,
            cancelled: false,
        };
        let reset = || failure(Refusal::UpstreamReset);
        let table = [
            (Ok(answered), fine, Conduct::Good),
            (Ok(Ended::Upgraded), fine, Conduct::Good),
            (Ok(answered), poor, Conduct::Poor),
            (Err(failure(Refusal::ClientGone)), fine, Conduct::Good),
            (Err(failure(Refusal::ClientGone)), poor, Conduct::Poor),
            (Err(failure(Refusal::ClientGone)), before, Conduct::Unknown),
            (Err(failure(Refusal::BodyTooLarge)), before, Conduct::Unknown),
            (Err(failure(Refusal::DeadlineExceeded)), before, Conduct::Unknown),
            (Err(failure(Refusal::Drained)), before, Conduct::Unknown),
            (Err(failure(Refusal::UpstreamTruncated)), fine, Conduct::Poor),
            (Err(failure(Refusal::UpstreamStalled)), fine, Conduct::Poor),
            (
                Err(failure(Refusal::UpstreamStalled)),
                Circumstances {
                    unsent: Some(5),
                    ..fine
                },
                Conduct::Good,
            ),
            (
                Err(failure(Refusal::UpstreamStalled)),
                before,
                Conduct::Bad(Fault::Slow),
            ),
            (
                Err(failure(Refusal::UpstreamTimeout)),
                before,
                Conduct::Bad(Fault::Slow),
            ),
            (
                Err(failure(Refusal::UpstreamMalformed)),
                before,
                Conduct::Bad(Fault::Malformed),
            ),
            (Err(reset()), before, Conduct::Bad(Fault::Broken)),
            (Err(reset()), aged, Conduct::Unknown),
            (Err(reset()), unread(LONG_BODY), Conduct::Bad(Fault::Broken)),
            (Err(reset()), unread(LONG_BODY + 1), Conduct::Unknown),
            (
                Err(Failure {
                    unprocessed: true,
                    ..reset()
                }),
                before,
                Conduct::Unknown,
            ),
            // A stream that was reset says so aloud, whatever its connection has carried.
            (
                Err(Failure {
                    silent: false,
                    ..reset()
                }),
                aged,
                Conduct::Bad(Fault::Broken),
            ),
            (
                Err(Failure {
                    silent: false,
                    cancelled: true,
                    ..reset()
                }),
                before,
                Conduct::Unknown,
            ),
        ];
        for (number, (outcome, with, conduct)) in table.into_iter().enumerate() {
            assert_eq!(of(&outcome, with), conduct, "{number}: {outcome:?} {with:?}");
        }
    }
}
