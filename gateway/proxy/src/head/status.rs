//! Reason phrases of statuses that the gateway sends itself.

/// The body of an answer of the gateway's own: the reason phrase, as a line of text.
pub(crate) fn text(status: u16) -> &'static str {
    match status {
        200 => "OK\n",
        201 => "Created\n",
        202 => "Accepted\n",
        203 => "Non-Authoritative Information\n",
        204 => "No Content\n",
        205 => "Reset Content\n",
        206 => "Partial Content\n",
        300 => "Multiple Choices\n",
        301 => "Moved Permanently\n",
        302 => "Found\n",
        303 => "See Other\n",
        304 => "Not Modified\n",
        307 => "Temporary Redirect\n",
        308 => "Permanent Redirect\n",
        400 => "Bad Request\n",
        401 => "Unauthorized\n",
        403 => "Forbidden\n",
        402 => "Payment Required\n",
        404 => "Not Found\n",
        405 => "Method Not Allowed\n",
        406 => "Not Acceptable\n",
        407 => "Proxy Authentication Required\n",
        408 => "Request Timeout\n",
        409 => "Conflict\n",
        410 => "Gone\n",
        411 => "Length Required\n",
        412 => "Precondition Failed\n",
        413 => "Content Too Large\n",
        414 => "URI Too Long\n",
        415 => "Unsupported Media Type\n",
        416 => "Range Not Satisfiable\n",
        417 => "Expectation Failed\n",
        421 => "Misdirected Request\n",
        422 => "Unprocessable Content\n",
        423 => "Locked\n",
        424 => "Failed Dependency\n",
        425 => "Too Early\n",
        426 => "Upgrade Required\n",
        428 => "Precondition Required\n",
        429 => "Too Many Requests\n",
        431 => "Request Header Fields Too Large\n",
        451 => "Unavailable For Legal Reasons\n",
        500 => "Internal Server Error\n",
        501 => "Not Implemented\n",
        502 => "Bad Gateway\n",
        503 => "Service Unavailable\n",
        504 => "Gateway Timeout\n",
        505 => "HTTP Version Not Supported\n",
        _ => "Error\n",
    }
}

/// The reason phrase of a status (RFC 9110 15).
pub(crate) fn phrase(status: u16) -> &'static str {
    text(status).trim_ascii_end()
}

/// Whether a status says that the backend failed, and not that the request asks for what it does not have.
pub(crate) fn is_poor(status: u16) -> bool {
    status >= 500 && !matches!(status, 501 | 505)
}
