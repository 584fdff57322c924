//! What has changed since an earlier audit.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::row::{Audit, AuditRow, PlaceText};

/// What has changed between two audits. Each list is sorted.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// Places that are reachable and were not.
    pub(crate) appeared: Vec<AuditRow>,
    /// Places that were reachable and are not any more.
    pub(crate) went: Vec<AuditRow>,
    /// Places where something else answers, or in another state.
    pub(crate) changed: Vec<Changed>,
}

/// A place where something else answers than before.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Changed {
    pub(crate) before: AuditRow,
    pub(crate) after: AuditRow,
}

impl Difference {
    /// What has changed from `before` to `after`.
    pub(crate) fn between(before: &Audit, after: &Audit) -> Self {
        let mut difference = Self::default();
        let mut earlier: BTreeMap<_, Vec<&AuditRow>> = BTreeMap::new();
        for row in &before.routes {
            earlier.entry(row.place()).or_default().push(row);
        }
        let mut now: BTreeMap<_, Vec<&AuditRow>> = BTreeMap::new();
        for row in &after.routes {
            now.entry(row.place()).or_default().push(row);
        }
        for (place, rows) in &now {
            let mut before = earlier.remove(place).unwrap_or_default();
            let mut new: Vec<&AuditRow> = Vec::new();
            for row in rows {
                match before.iter().position(|other| other == row) {
                    Some(same) => drop(before.remove(same)),
                    None => new.push(row),
                }
            }
            let mut before = before.into_iter();
            for after in new {
                match before.next() {
                    Some(before) => difference.changed.push(Changed {
                        before: before.clone(),
                        after: after.clone(),
                    }),
                    None => difference.appeared.push(after.clone()),
                }
            }
            difference.went.extend(before.cloned());
        }
        difference.went.extend(earlier.into_values().flatten().cloned());
        difference.went.sort();
        difference
    }

    /// Keeps what was or is about certain rows.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&AuditRow) -> bool) {
        self.appeared.retain(&is_kept);
        self.went.retain(&is_kept);
        self.changed
            .retain(|Changed { before, after }| is_kept(before) || is_kept(after));
    }

    /// How many changes there are.
    pub(crate) fn count(&self) -> usize {
        self.appeared.len() + self.went.len() + self.changed.len()
    }

    /// Whether nothing has changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.count() == 0
    }
}

/// One line for each change: `+` appeared, `-` went, `~` changed.
impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.appeared {
            writeln!(out, "+ {}  {}", PlaceText(row), row.target())?;
        }
        for row in &self.went {
            writeln!(out, "- {}  {}", PlaceText(row), row.target())?;
        }
        for Changed { before, after } in &self.changed {
            writeln!(
                out,
                "~ {}  {}  =>  {}",
                PlaceText(after),
                before.target(),
                after.target()
            )?;
        }
        write!(
            out,
            "{} appeared, {} went, {} changed",
            self.appeared.len(),
            self.went.len(),
            self.changed.len()
        )
    }
}
