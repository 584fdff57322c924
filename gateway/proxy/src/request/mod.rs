//! One request, whatever the version of HTTP it came by: decided, forwarded or refused, and recorded.

pub(crate) mod conduct;
pub(crate) mod decide;
pub(crate) mod forward;
pub(crate) mod record;
