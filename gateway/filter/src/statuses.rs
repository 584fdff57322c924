//! Sets of HTTP statuses.

use std::fmt;

/// The statuses that can be in a set (RFC 9110 15).
const FIRST: u16 = 100;
const LAST: u16 = 599;

const WORDS: usize = 8;

/// A set of statuses from 100 to 599.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusSet([u64; WORDS]);

impl StatusSet {
    /// Reads `404`, `500-599`, or several of these with commas between them.
    ///
    /// # Errors
    /// What is wrong with the text, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut set = Self::default();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (status(first), status(last)) {
                (Some(first), Some(last)) if first <= last => {
                    (first..=last).for_each(|status| set.add(status));
                }
                _ => {
                    return Err(format!(
                        "`{part}` is no status from {FIRST} to {LAST}, nor a range such as `500-599`"
                    ));
                }
            }
        }
        Ok(set)
    }

    /// Adds a status; one that cannot be in a set is left out.
    pub fn add(&mut self, status: u16) {
        if let Some((word, bit)) = place(status)
            && let Some(word) = self.0.get_mut(word)
        {
            *word |= bit;
        }
    }

    /// Whether a status is in it.
    #[must_use]
    pub fn has(&self, status: u16) -> bool {
        place(status).is_some_and(|(word, bit)| self.0.get(word).is_some_and(|word| word & bit != 0))
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// What is in either of the two.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut union = *self;
        for (word, other) in union.0.iter_mut().zip(other.0) {
            *word |= other;
        }
        union
    }

    /// Its statuses, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        (FIRST..=LAST).filter(|status| self.has(*status))
    }
}

fn status(text: &str) -> Option<u16> {
    let text = text.trim();
    let is_plain = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let status = text.parse().ok().filter(|_| is_plain)?;
    (FIRST..=LAST).contains(&status).then_some(status)
}

fn place(status: u16) -> Option<(usize, u64)> {
    let index = status.checked_sub(FIRST).filter(|_| status <= LAST)?;
    Some((usize::from(index / 64), 1 << (index % 64)))
}

/// As ranges.
impl fmt::Debug for StatusSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = formatter.debug_list();
        let mut run: Option<(u16, u16)> = None;
        for status in self.iter() {
            run = match run {
                Some((first, last)) if last + 1 == status => Some((first, status)),
                Some((first, last)) => {
                    list.entry(&format_args!("{first}-{last}"));
                    Some((status, status))
                }
                None => Some((status, status)),
            };
        }
        if let Some((first, last)) = run {
            list.entry(&format_args!("{first}-{last}"));
        }
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let table: &[(&str, Option<&[u16]>)] = &[
            ("404", Some(&[404])),
            ("404,503", Some(&[404, 503])),
            (" 404 , 500 - 502 ", Some(&[404, 500, 501, 502])),
            ("100,599", Some(&[100, 599])),
            ("163-165", Some(&[163, 164, 165])),
            ("502-500", None),
            ("", None),
            ("404,", None),
            ("99", None),
            ("600", None),
            ("0404", None),
            ("+40", None),
            ("5xx", None),
            ("500-", None),
        ];
        for (text, expected) in table {
            let set = StatusSet::parse(text).ok();
            let statuses = set.map(|set| set.iter().collect::<Vec<_>>());
            assert_eq!(statuses.as_deref(), *expected, "{text}");
        }
        let all = StatusSet::parse("100-599").unwrap();
        assert_eq!(all.iter().count(), 500);
        assert!(!all.has(99) && !all.has(600) && !all.has(u16::MAX) && !all.has(0));
        let both = StatusSet::parse("404")
            .unwrap()
            .union(&StatusSet::parse("502-503").unwrap());
        assert_eq!(format!("{both:?}"), "[404-404, 502-503]");
        assert!(StatusSet::default().is_empty() && !both.is_empty());
    }
}
