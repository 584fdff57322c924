//! Why the gateway answers a request itself, where that is no [`Refusal`].

use std::borrow::Cow;

use door::Upstream;

use crate::observe::labels::Reason;
use crate::refusal::{Disposition, Refusal, Side};
use crate::request::proxy_status;

/// Why the gateway answers a request itself, where that is no [`Refusal`].
#[derive(Debug)]
pub(crate) struct Denial {
    pub(crate) reason: Reason,
    pub(crate) side: Side,
    /// What was wrong, for the log; empty if nothing was, or somebody has said it.
    pub(crate) why: Cow<'static, str>,
    /// The value of `Proxy-Status`; `None` if there is no error.
    pub(crate) proxy_status: Option<Cow<'static, str>>,
}

impl Denial {
    /// A filter does not let the request pass.
    pub(crate) fn of_filter(status: u16, reason: Reason, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            side: if status < 500 { Side::Client } else { Side::Gateway },
            why: why.into(),
            proxy_status: proxy_status::of_filter(reason, status),
        }
    }

    /// Something else is sent where the gateway would have refused it.
    pub(crate) fn of_refusal(refusal: &Refusal, service: &Upstream) -> Self {
        let Disposition { reason, side, .. } = refusal.disposition();
        Self {
            reason,
            side,
            why: refusal.words(),
            proxy_status: Some(proxy_status::of_refusal(refusal, Some(service))),
        }
    }
}
