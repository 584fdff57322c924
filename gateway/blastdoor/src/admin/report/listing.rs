//! A part of a list, and which of its entries count: what all pages with lists understand of a query.

use hyper::StatusCode;

use crate::admin::answer::Answer;
use crate::admin::query::Query;

/// The most entries of one answer.
const MOST: usize = 1000;
/// Of a search: every word is looked for in every entry.
const MOST_WORDS: usize = 16;
const MOST_CHARACTERS: usize = 500;
/// As many as there are if nothing else is asked for.
const USUAL: usize = 100;

/// What a query asks of a list: `q`, words that must all occur, whatever their case; `offset` and `limit`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    words: Vec<String>,
    offset: usize,
    limit: usize,
}

impl Listing {
    /// # Errors
    /// The answer to a query that cannot be understood.
    pub(super) fn of(query: &Query) -> Result<Self, Answer> {
        let number = |name: &'static str, usual: usize| -> Result<usize, Answer> {
            let written = query.optional(name).map_err(|error| refused(&error))?;
            written.map_or(Ok(usual), |written| {
                let number = written.parse();
                number.map_err(|_| refused(&format!("`{name}` must be a number from 0")))
            })
        };
        let written = query.optional("q").map_err(|error| refused(&error))?;
        Ok(Self {
            words: words(written.unwrap_or_default())?,
            offset: number("offset", 0)?,
            limit: number("limit", USUAL)?.min(MOST),
        })
    }

    /// Whether an entry with this text counts. It is asked for only if there are words.
    pub(super) fn has(&self, text: impl FnOnce() -> String) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let text = text().to_lowercase();
        self.words.iter().all(|word| text.contains(&**word))
    }

    /// The part of the entries that is asked for, and how many there are.
    pub(super) fn part<T>(&self, entries: Vec<T>) -> (Vec<T>, usize) {
        let total = entries.len();
        let part = entries.into_iter().skip(self.offset).take(self.limit);
        (part.collect(), total)
    }
}

/// The words of a search.
fn words(search: &str) -> Result<Vec<String>, Answer> {
    if search.chars().nth(MOST_CHARACTERS).is_some() {
        let why = format!("`q` has more than {MOST_CHARACTERS} characters");
        return Err(refused(&why));
    }
    let words: Vec<_> = search.split_whitespace().map(str::to_lowercase).collect();
    if words.len() > MOST_WORDS {
        return Err(refused(&format!("`q` has more than {MOST_WORDS} words")));
    }
    Ok(words)
}

/// The answer to a query that cannot be understood.
pub(super) fn refused(why: &impl std::fmt::Display) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, why)
}

/// A parameter that is one of a few words; `None` if it is absent or empty.
///
/// # Errors
/// The answer to any other word.
pub(super) fn word<'q>(
    query: &'q Query,
    name: &'static str,
    known: &[&'static str],
) -> Result<Option<&'q str>, Answer> {
    let written = query.optional(name).map_err(|error| refused(&error))?;
    match written.filter(|written| !written.is_empty()) {
        Some(written) if !known.contains(&written) => {
            Err(refused(&format!("`{name}` must be one of: {}", known.join(", "))))
        }
        written => Ok(written),
    }
}

/// The door that the query names; `None` for all.
///
/// # Errors
/// When it is given more than once.
pub(super) fn door(query: &Query) -> Result<Option<&str>, Answer> {
    let written = query.optional("door").map_err(|error| refused(&error))?;
    Ok(written.filter(|written| !written.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(query: &str) -> Result<Listing, Answer> {
        Listing::of(&Query::parse(query.as_bytes()).unwrap())
    }

    #[test]
    fn every_word_must_occur_and_parts_have_a_bound() {
        let some = listing("q=Shop++a.test&offset=2&limit=3").unwrap();
        assert!(some.has(|| "SHOP/web at A.TEST".to_owned()));
        assert!(!some.has(|| "shop/web at b.test".to_owned()));
        assert_eq!(some.part((0..10).collect()), (vec![2, 3, 4], 10));
        let all = listing("").unwrap();
        assert!(all.has(|| panic!("nobody asked")));
        assert_eq!(all.part((0..200).collect()).0.len(), USUAL);
        assert_eq!(listing("limit=999999").unwrap().limit, MOST);
        assert_eq!(listing("offset=5").unwrap().part(vec![1]), (vec![], 1));
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for query in ["limit=x", "offset=-1", "limit=1&limit=2", "q=a&q=b"] {
            assert_eq!(listing(query).unwrap_err().status(), 400, "{query}");
        }
        for (most, too_much) in [
            ("ä".repeat(500), "ä".repeat(501)),
            ("a ".repeat(16), "a ".repeat(17)),
        ] {
            let of = |q: &str| listing(&format!("q={}", q.replace(' ', "+")));
            assert!(of(&most).is_ok(), "{most}");
            assert_eq!(of(&too_much).unwrap_err().status(), 400, "{too_much}");
        }
        let query = Query::parse(b"state=odd").unwrap();
        assert_eq!(word(&query, "state", &["trouble"]).unwrap_err().status(), 400);
        let query = Query::parse(b"state=&door=").unwrap();
        assert_eq!(word(&query, "state", &["trouble"]), Ok(None));
        assert_eq!(door(&query), Ok(None));
    }
}
