//! Finding the name that a misspelt one stands for.

/// The one of `known` that is most similar to `written`, if any is similar enough: the same apart from case, or at most
/// two letters away, and never more than a third of its letters.
pub(crate) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > 80 {
        return None;
    }
    let lower = written.to_ascii_lowercase();
    known
        .map(|candidate| (distance(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && distance.saturating_mul(3) <= candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of letters to insert, remove or replace (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), line + 1);
        let mut before = line + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&right) {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            before = replaced.min(before + 1).min(diagonal + 1);
            *cell = before;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelling_finds_what_was_meant() {
        let known = ["host", "http", "pathType", "path", "backend"];
        let table = [
            ("pathtype", Some("pathType")),
            ("PathType", Some("pathType")),
            ("pathtpye", Some("pathType")),
            ("hosts", Some("host")),
            ("backends", Some("backend")),
            ("bckend", Some("backend")),
            ("hsot", None),
            ("port", None),
            ("", None),
        ];
        for (written, meant) in table {
            assert_eq!(nearest(written, known.into_iter()), meant, "{written}");
        }
    }
}
