//! What can be wrong with the lines and fields of a head.

/// What is wrong with a head, of a request or a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A line does not end in CRLF (RFC 9112 2.2).
    #[error("a line ends in a bare LF")]
    BareLf,
    /// RFC 9112 5: white space before the colon, a folded line, no colon, or no token.
    #[error("a field line does not start with a field name and a colon")]
    FieldName,
    /// RFC 9110 5.5: a control character.
    #[error("a field value holds a control character")]
    FieldValue,
    /// More bytes than allowed.
    #[error("the head is larger than allowed")]
    TooLarge,
    /// More fields than allowed.
    #[error("the head has more fields than allowed")]
    TooManyFields,
    /// RFC 9110 5.6.1.2: more elements of a list than are reasonable.
    #[error("Connection, Upgrade, TE or Expect has more than 32 elements, empty ones included")]
    LongList,
    /// RFC 9112 6.3: not one decimal number.
    #[error("Content-Length is not one decimal number")]
    ContentLength,
    /// RFC 9112 6.3: two ways to frame the body.
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndCoding,
    /// RFC 9112 6.1: anything but one `chunked`, or any coding on HTTP/1.0.
    #[error("Transfer-Encoding is not exactly one `chunked`")]
    TransferCoding,
}
