//! What was found, as a matrix and as JSON.

use std::fmt;

use serde::Serialize;
use text::{Shown, Table};

/// Everything that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The doors, as they were reached.
    pub doors: Vec<ReachedDoor>,
    /// One for each ordered pair of doors.
    pub pairs: Vec<Cell>,
}

/// A door, and whether it could be reached.
#[derive(Debug, Clone, Serialize)]
pub struct ReachedDoor {
    /// Its name.
    pub listener: String,
    /// Where it was reached.
    pub address: String,
    /// What it was attacked with.
    pub protocols: Vec<&'static str>,
    /// Why it could not be tried; `None`: it could.
    pub problem: Option<String>,
}

/// What was found for one ordered pair of doors.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// The door to which the hosts belong.
    pub from: String,
    /// The door that was attacked with them.
    pub at: String,
    /// What it comes to.
    pub outcome: Outcome,
    /// How many hosts were tried.
    pub hosts: usize,
    /// How many more hosts there are.
    pub hosts_left_out: usize,
    /// How many hosts the attacked door serves by rules of its own.
    pub hosts_shared: usize,
    /// How many different tricks were tried.
    pub tricks: usize,
    /// How often it was attacked.
    pub attacks: usize,
    /// How many attacks were blocked.
    pub blocked: usize,
    /// The attacks that were not.
    pub leaks: Vec<Leak>,
    /// What could not be tried, and why.
    pub not_tried: Vec<String>,
}

/// What one ordered pair comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every attack was blocked.
    Blocked,
    /// At least one was not.
    Leak,
    /// Something could not be tried, and nothing leaked.
    NotTried,
    /// The first door has no host that the other must not answer.
    Nothing,
}

/// An attack that was not blocked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Leak {
    /// The host.
    pub host: String,
    /// The path.
    pub path: String,
    /// The object of its rule: `namespace/name`.
    pub ingress: String,
    /// The name of the trick.
    pub trick: String,
    /// `HTTP/1` or `HTTP/2`.
    pub protocol: &'static str,
    /// Which server name the handshake had, where the door ends TLS.
    pub server_name: Option<String>,
    /// What shows it.
    pub why: String,
}

impl Cell {
    /// What it comes to, from what was found.
    pub(crate) fn conclude(&mut self) {
        self.leaks.sort();
        self.outcome = if !self.leaks.is_empty() {
            Outcome::Leak
        } else if !self.not_tried.is_empty() {
            Outcome::NotTried
        } else if self.hosts == 0 {
            Outcome::Nothing
        } else {
            Outcome::Blocked
        };
    }

    fn text(&self) -> String {
        match self.outcome {
            Outcome::Blocked => format!("blocked {}", self.blocked),
            Outcome::Leak => format!("LEAK {} of {}", self.leaks.len(), self.attacks),
            Outcome::NotTried if self.attacks > 0 => format!("blocked {}, not all tried", self.blocked),
            Outcome::NotTried => "not tried".to_owned(),
            Outcome::Nothing if self.hosts_shared > 0 => "same hosts".to_owned(),
            Outcome::Nothing => "no hosts".to_owned(),
        }
    }
}

impl Report {
    /// Whether everything was tried and blocked. Where nothing at all was tried, nothing is proved.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let fine = |cell: &Cell| matches!(cell.outcome, Outcome::Blocked | Outcome::Nothing);
        let reached = self.doors.iter().all(|door| door.problem.is_none());
        reached && self.pairs.iter().all(fine) && self.pairs.iter().any(|cell| cell.attacks > 0)
    }

    fn cell(&self, from: &str, at: &str) -> String {
        let found = self.pairs.iter().find(|cell| cell.from == from && cell.at == at);
        found.map_or_else(|| "-".to_owned(), Cell::text)
    }

    fn matrix(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.doors.iter().map(|door| door.listener.as_str()).collect();
        let mut table = Table::new(&[&["hosts of \\ at"], &*names].concat());
        for from in &names {
            let cells = names.iter().map(|at| self.cell(from, at));
            table.row(std::iter::once((*from).to_owned()).chain(cells));
        }
        writeln!(out, "{table}")
    }
}

/// How many leaks of one pair are shown to people; JSON has all of them.
const MOST_SHOWN: usize = 10;

/// For people.
impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.matrix(out)?;
        for door in self.doors.iter().filter(|door| door.problem.is_some()) {
            let problem = Shown(door.problem.as_deref().unwrap_or_default());
            writeln!(
                out,
                "\ndoor {} at {}: {problem}",
                Shown(&door.listener),
                door.address
            )?;
        }
        for cell in &self.pairs {
            let (from, at) = (Shown(&cell.from), Shown(&cell.at));
            for leak in cell.leaks.iter().take(MOST_SHOWN) {
                let name = leak.server_name.as_ref();
                let name = name.map_or_else(String::new, |name| format!(", server name {}", Shown(name)));
                writeln!(
                    out,
                    "\nLEAK: {}{} of {from} (Ingress {}) at {at} by {} ({}{name}): {}",
                    Shown(&leak.host),
                    Shown(&leak.path),
                    Shown(&leak.ingress),
                    leak.trick,
                    leak.protocol,
                    Shown(&leak.why)
                )?;
            }
            if cell.leaks.len() > MOST_SHOWN {
                writeln!(
                    out,
                    "and {} more of {from} at {at}; `-o json` has all",
                    cell.leaks.len() - MOST_SHOWN
                )?;
            }
            for reason in &cell.not_tried {
                writeln!(out, "\nnot tried: hosts of {from} at {at}: {}", Shown(reason))?;
            }
        }
        let left_out: usize = self.pairs.iter().map(|cell| cell.hosts_left_out).sum();
        if left_out > 0 {
            writeln!(
                out,
                "\nMore hosts could be tried: {left_out} of all pairs; see --hosts."
            )?;
        }
        let attacks: usize = self.pairs.iter().map(|cell| cell.attacks).sum();
        let blocked: usize = self.pairs.iter().map(|cell| cell.blocked).sum();
        let leaks: usize = self.pairs.iter().map(|cell| cell.leaks.len()).sum();
        let hosts: usize = self.pairs.iter().map(|cell| cell.hosts).sum();
        writeln!(
            out,
            "\n{} pairs of doors, {hosts} hosts, {attacks} attacks: {blocked} blocked, {leaks} leaked, {} not told",
            self.pairs.len(),
            attacks - (blocked + leaks).min(attacks)
        )?;
        if attacks == 0 {
            writeln!(out, "Nothing was tried, so nothing is proved.")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_turn_the_line_around() {
        let hostile = "/\u{202e}KAEL\u{1b}[2J\u{2066}\u{61c}\u{e0041}";
        let cell = Cell {
            from: "inside".to_owned(),
            at: "outside".to_owned(),
            outcome: Outcome::Leak,
            hosts: 1,
            hosts_left_out: 0,
            hosts_shared: 0,
            tricks: 1,
            attacks: 1,
            blocked: 0,
            leaks: vec![Leak {
                host: "a.test".to_owned(),
                path: hostile.to_owned(),
                ingress: format!("n/{hostile}"),
                trick: "host".to_owned(),
                protocol: "HTTP/1",
                server_name: Some(hostile.to_owned()),
                why: hostile.to_owned(),
            }],
            not_tried: vec![hostile.to_owned()],
        };
        let report = Report {
            doors: Vec::new(),
            pairs: vec![cell],
        };
        let text = report.to_string();
        assert!(
            !text.contains(['\u{202e}', '\u{1b}', '\u{2066}', '\u{61c}', '\u{e0041}']),
            "{text:?}"
        );
        let escaped = "/\\u{202e}KAEL\\u{1b}[2J\\u{2066}\\u{61c}\\u{e0041}";
        assert_eq!(text.matches(escaped).count(), 5, "{text}");
    }
}
