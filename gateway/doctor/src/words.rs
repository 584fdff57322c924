//! Words and lists in sentences.

/// Names in a sentence: the first ten of them, and how many more there are.
pub(crate) fn list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    const MOST: usize = 10;
    let mut names: Vec<T> = names.into_iter().collect();
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let text = names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match more {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// `1 node`, `2 nodes`
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}
