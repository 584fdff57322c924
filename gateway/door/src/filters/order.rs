//! The order of filters.

use resource::{Dialect, FilterSpec, WrittenFilter};

/// Where filters stand. Requests pass in this order, responses in reverse.
///
/// No password is asked for in clear text; cheap refusals come first, and who is refused uses up no limit; preflights carry
/// no credentials and are not counted; every guard sees the client's path. What changes responses alone stands first, so that
/// every answer of the route carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Fields of responses; what is written in so many words wins over what a switch stands for.
    ResponseFields(Precedence),
    /// To https.
    HttpsRedirect,
    /// CORS, with the answers to preflights.
    Cors,
    /// Middlewares, as they are listed.
    Middlewares,
    /// Fields of requests, and their host.
    RequestFields,
}

/// Whose fields win: the first one's, whose edits come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Precedence {
    Own,
    ConfigMap,
    Security,
}

impl Stage {
    pub(super) fn of(written: &WrittenFilter) -> Self {
        if written.dialect == Dialect::Traefik {
            return Self::Middlewares;
        }
        match &written.spec {
            FilterSpec::HttpsRedirect => Self::HttpsRedirect,
            FilterSpec::Headers(_) => Self::Middlewares,
            FilterSpec::Cors(_) => Self::Cors,
            FilterSpec::RequestFields(_) => Self::RequestFields,
            FilterSpec::ResponseFields(_) => Self::ResponseFields(Precedence::Own),
            FilterSpec::ResponseFieldsOf(_) => Self::ResponseFields(Precedence::ConfigMap),
            FilterSpec::SecurityFields => Self::ResponseFields(Precedence::Security),
        }
    }
}
