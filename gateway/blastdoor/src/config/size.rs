//! Sizes within bounds.

use super::diagnostics::Section;
use super::raw::Size;
use super::units::{SIZE, size};

/// A number of bytes from `least` to `most`, which are as people write them.
pub(super) fn bounded(
    section: &mut Section<'_, '_>,
    key: &str,
    written: Option<&Size>,
    default: usize,
    [least, most]: [&str; 2],
) -> usize {
    let (bytes, text) = match written {
        None => return default,
        Some(Size::Bytes(bytes)) => (Some(*bytes), bytes.to_string()),
        Some(Size::Text(text)) => (size(text), text.clone()),
    };
    let is_within = |bytes: &u64| (size(least)..=size(most)).contains(&Some(*bytes));
    match (bytes, bytes.filter(is_within).map(usize::try_from)) {
        (Some(_), Some(Ok(bytes))) => bytes,
        (Some(bytes), _) => {
            section.error(
                key,
                format!("{bytes} bytes is out of range; allowed: {least} to {most}"),
            );
            default
        }
        (None, _) => {
            section.error(key, format!("`{text}` is not a size; allowed: {SIZE}"));
            default
        }
    }
}
