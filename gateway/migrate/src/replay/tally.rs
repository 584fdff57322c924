//! What came out of a replay.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use text::Shown;

use super::answer::Mismatch;
use super::log::Recorded;

/// What came out of a replay. Its JSON is stable: fields may be added.
#[derive(Debug, Default, Serialize)]
pub struct Tally {
    /// What the log had.
    pub log: LogCounts,
    /// Requests that were sent to both.
    pub sent: usize,
    /// Those of them that were answered alike.
    pub same: usize,
    /// Those that were not.
    pub different: usize,
    /// What was different, most frequent first.
    pub groups: Vec<Group>,
    /// Differences beyond the number of groups that are kept.
    pub ungrouped: usize,
    /// Where each group is.
    #[serde(skip)]
    places: BTreeMap<Mismatch, usize>,
}

/// What a log had.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct LogCounts {
    /// Lines that are not empty.
    pub lines: usize,
    /// Lines that record no request.
    pub malformed: usize,
    /// Some of these: line and reason.
    pub malformed_examples: Vec<(usize, String)>,
    /// Requests that may change something: they are never sent.
    pub not_safe: usize,
    /// Requests whose host neither the log nor `--host` says.
    pub without_host: usize,
    /// Requests that the share leaves out.
    pub left_out: usize,
}

/// Requests that are different in the same way.
#[derive(Debug, Serialize)]
pub struct Group {
    /// `status`, `location`, `header NAME`, `body`, `error`.
    pub kind: String,
    /// What the old gateway answered.
    pub old: String,
    /// What the new one answered.
    pub new: String,
    /// How many requests.
    pub count: usize,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// A request, without its query, which may carry secrets.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Its method.
    pub method: &'static str,
    /// Its host.
    pub host: String,
    /// Its path.
    pub path: String,
}

/// Groups that are kept.
const MOST_GROUPS: usize = 500;
/// Examples of each.
const MOST_EXAMPLES: usize = 3;

impl LogCounts {
    /// Takes note of a malformed line, counted from 1.
    pub fn malformed(&mut self, line: usize, reason: &str) {
        self.malformed += 1;
        if self.malformed_examples.len() < MOST_EXAMPLES {
            self.malformed_examples.push((line, reason.to_owned()));
        }
    }
}

impl Tally {
    /// Takes note of a request that was sent to both.
    pub fn add(&mut self, request: &Recorded, host: &str, mismatches: Vec<Mismatch>) {
        self.sent += 1;
        if mismatches.is_empty() {
            self.same += 1;
            return;
        }
        self.different += 1;
        for mismatch in mismatches {
            self.group(mismatch, request, host);
        }
    }

    fn group(&mut self, mismatch: Mismatch, request: &Recorded, host: &str) {
        let place = match self.places.get(&mismatch) {
            Some(place) => *place,
            None if self.groups.len() >= MOST_GROUPS => {
                self.ungrouped += 1;
                return;
            }
            None => {
                self.groups.push(Group {
                    kind: mismatch.kind.clone(),
                    old: mismatch.old.clone(),
                    new: mismatch.new.clone(),
                    count: 0,
                    examples: Vec::new(),
                });
                let place = self.groups.len() - 1;
                self.places.insert(mismatch, place);
                place
            }
        };
        let Some(group) = self.groups.get_mut(place) else {
            return;
        };
        group.count += 1;
        let example = Example {
            method: request.method,
            host: host.to_owned(),
            path: request.target.split('?').next().unwrap_or_default().to_owned(),
        };
        if group.examples.len() < MOST_EXAMPLES && !group.examples.contains(&example) {
            group.examples.push(example);
        }
    }

    /// Puts the most frequent groups first. Nothing may be added after that.
    pub fn finish(&mut self, log: LogCounts) {
        self.log = log;
        self.places.clear();
        self.groups.sort_by(|left, right| {
            let order = |group: &Group| {
                (
                    usize::MAX - group.count,
                    group.kind.clone(),
                    group.old.clone(),
                    group.new.clone(),
                )
            };
            order(left).cmp(&order(right))
        });
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.groups {
            writeln!(
                out,
                "{:>7}  {}: {} there, {} here",
                group.count,
                Shown(&group.kind),
                Shown(&group.old),
                Shown(&group.new)
            )?;
            for example in &group.examples {
                writeln!(
                    out,
                    "         {} {}{}",
                    example.method,
                    Shown(&example.host),
                    Shown(&example.path)
                )?;
            }
        }
        if self.ungrouped > 0 {
            writeln!(
                out,
                "{:>7}  further differences, of more kinds than are kept",
                self.ungrouped
            )?;
        }
        for (line, reason) in &self.log.malformed_examples {
            writeln!(out, "line {line} is malformed: {}", Shown(reason))?;
        }
        let LogCounts {
            lines,
            malformed,
            not_safe,
            without_host,
            left_out,
            malformed_examples: _,
        } = &self.log;
        writeln!(
            out,
            "{lines} lines: {malformed} malformed, {not_safe} not safe to repeat, {without_host} without a host, {left_out} left out"
        )?;
        write!(
            out,
            "{} requests sent to both: {} answered alike, {} differently",
            self.sent, self.same, self.different
        )
    }
}
