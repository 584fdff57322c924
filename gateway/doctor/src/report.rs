//! The report: findings and what could not be looked at, for people and for programs.

use std::fmt;

use serde::Serialize;
use text::Shown;

use crate::finding::{Finding, NotChecked, ObjectName, Severity};

/// What was found.
///
/// Serialises as `{"gateways": […], "findings": […], "not_checked": […]}`. `Display` is for people; it escapes control
/// characters, because the strings of objects end up in terminals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The gateways that were looked at.
    pub gateways: Vec<GatewaySummary>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// What could not be looked at from here, and why.
    pub not_checked: Vec<NotChecked>,
}

/// A gateway that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GatewaySummary {
    /// Its workload.
    pub object: ObjectName,
    /// Its doors.
    pub doors: Vec<DoorSummary>,
    /// The nodes of its pods.
    pub nodes: Vec<String>,
}

/// A door that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoorSummary {
    /// Its name.
    pub listener: String,
    /// Its port in the pod.
    pub port: u16,
}

impl Report {
    /// Whether anything is to be done: notes alone are no failure.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity == Severity::Info)
    }

    fn count(&self, severity: Severity) -> usize {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.severity == severity).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for gateway in &self.gateways {
            let doors = gateway.doors.iter();
            let doors = doors.map(|door| format!("{} :{}", door.listener, door.port));
            let doors = doors.collect::<Vec<_>>().join(", ");
            let nodes = crate::words::count(gateway.nodes.len(), "node");
            writeln!(
                formatter,
                "{} on {nodes}: {}",
                Shown(&gateway.object),
                Shown(&doors)
            )?;
        }
        for finding in &self.findings {
            writeln!(formatter)?;
            write_finding(formatter, finding)?;
        }
        if !self.not_checked.is_empty() {
            writeln!(formatter, "\nNot checked:")?;
        }
        for skipped in &self.not_checked {
            writeln!(formatter, "  {}: {}", Shown(&skipped.what), Shown(&skipped.why))?;
        }
        write!(
            formatter,
            "\n{} errors, {} warnings, {} infos, {} not checked",
            self.count(Severity::Error),
            self.count(Severity::Warning),
            self.count(Severity::Info),
            self.not_checked.len()
        )
    }
}

fn write_finding(formatter: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
    let severity = finding.severity.as_str();
    writeln!(formatter, "{} {severity}: {}", finding.id, Shown(&finding.object))?;
    writeln!(formatter, "  {}", Shown(&finding.finding))?;
    for fact in &finding.evidence {
        writeln!(
            formatter,
            "    {}  {}: {}",
            Shown(&fact.object),
            Shown(&fact.field),
            Shown(&fact.value)
        )?;
    }
    if !finding.effect.is_empty() {
        writeln!(formatter, "  What is seen: {}", Shown(&finding.effect))?;
    }
    for (number, fix) in (1..).zip(&finding.fix) {
        writeln!(formatter, "  Way out {number}: {}", Shown(&fix.text))?;
        for line in fix.command.iter().flat_map(|command| command.lines()) {
            writeln!(formatter, "    {}", Shown(line))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Id;
    use crate::kind::Kind;

    #[test]
    fn what_objects_say_stays_within_its_line() {
        let object = ObjectName::namespaced(Kind::Service, "edge", "web\u{1b}[2J\u{202e}");
        let finding = Finding::new(Id("GW101"), Severity::Error, object, "no\nway\u{200b}");
        let report = Report {
            gateways: Vec::new(),
            findings: vec![finding],
            not_checked: Vec::new(),
        };
        let shown = report.to_string();
        assert!(
            shown.contains("Service edge/web\\u{1b}[2J\\u{202e}\n  no\\nway\\u{200b}\n"),
            "{shown}"
        );
    }
}
