//! What bounds texts that are made for one request.

/// Longest text of a replacement or template, in bytes.
const TEXT_BYTES: usize = 4 << 10;

/// Longest result, in bytes. No request and no field is as long.
const RESULT_BYTES: usize = 64 << 10;

/// A request would cost too much: what is made for it becomes too long, or takes too long to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what takes the place of a text of the request is too long, or takes too long to make")]
pub struct TooMuch;

/// Checks the length of what somebody has written.
pub(crate) fn check_length(text: &str) -> Result<(), String> {
    if text.len() <= TEXT_BYTES {
        return Ok(());
    }
    let start: String = text.chars().take(80).collect();
    Err(format!(
        "`{start}…` has {} bytes; at most {TEXT_BYTES} are allowed",
        text.len()
    ))
}

/// Appends `more`, if the result is not too long.
pub(crate) fn push(out: &mut Vec<u8>, more: &[u8]) -> Result<(), TooMuch> {
    if out.len().saturating_add(more.len()) > RESULT_BYTES {
        return Err(TooMuch);
    }
    out.extend_from_slice(more);
    Ok(())
}
