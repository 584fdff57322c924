//! Every kind of Middleware.

use super::row::KindRow;
use super::{auth, chain, errors, headers, later, limits, paths, redirects};

/// In the order of the reference.
pub(super) const KINDS: &[KindRow] = &[
    redirects::REDIRECT_SCHEME,
    redirects::REDIRECT_REGEX,
    limits::IP_ALLOW_LIST,
    limits::IP_WHITE_LIST,
    limits::RATE_LIMIT,
    limits::IN_FLIGHT_REQ,
    auth::BASIC_AUTH,
    auth::DIGEST_AUTH,
    auth::FORWARD_AUTH,
    paths::STRIP_PREFIX,
    paths::STRIP_PREFIX_REGEX,
    paths::ADD_PREFIX,
    paths::REPLACE_PATH,
    paths::REPLACE_PATH_REGEX,
    headers::HEADERS,
    errors::ERRORS,
    chain::CHAIN,
    later::BUFFERING,
    later::CIRCUIT_BREAKER,
    later::COMPRESS,
    later::CONTENT_TYPE,
    later::ENCODED_CHARACTERS,
    later::GRPC_WEB,
    later::PASS_TLS_CLIENT_CERT,
    later::PLUGIN,
    later::RETRY,
];
