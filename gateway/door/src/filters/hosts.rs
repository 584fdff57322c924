//! The filters of hosts that annotations add.

use std::sync::Arc;

use filter::redirect::{HttpScheme, Redirect};
use route::Host;

use super::{Filter, Filters};

/// The filters of a host that is redirected to another one.
pub(crate) fn twin_filters(to: &Host, scheme: HttpScheme) -> Option<Arc<Filters>> {
    let redirect = Redirect::Host {
        host: to.as_str().into(),
    };
    Filters::new(vec![Filter::Redirect(redirect)], scheme)
}
