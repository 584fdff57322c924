//! The report for people.

use std::fmt;

use text::{Shown, Table};

use crate::difference::{Difference, Effect};
use crate::evidence::Evidence;
use crate::report::{IngressReport, Report};

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        overview(self, out)?;
        for ingress in &self.ingresses {
            details(ingress, out)?;
        }
        rest(self, out)?;
        totals(self, out)
    }
}

fn overview(report: &Report, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut table = Table::new(&["INGRESS", "CONTROLLER", "DOOR", "BY", "ADD LABEL", "DIFFERENCES"]);
    for ingress in &report.ingresses {
        let labels = ingress.add_labels.iter();
        let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
        let joined = |texts: &[String], none: &str| match texts {
            [] => none.to_owned(),
            texts => texts.join(","),
        };
        table.row([
            &ingress.ingress,
            ingress.controller.as_str(),
            &joined(&ingress.doors, "none"),
            by(ingress),
            &joined(&labels, "-"),
            &ingress.differences.len().to_string(),
        ]);
    }
    writeln!(out, "{table}")
}

fn by(ingress: &IngressReport) -> &'static str {
    match ingress.by {
        crate::placing::By::Labels => "labels",
        crate::placing::By::Class => "class",
        crate::placing::By::Asked => "--door",
        crate::placing::By::Guess => "guess",
        crate::placing::By::Nothing => "-",
    }
}

fn details(ingress: &IngressReport, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if ingress.differences.is_empty() && ingress.notes.is_empty() {
        return Ok(());
    }
    write!(out, "\n{}", Shown(&ingress.ingress))?;
    if let Some(file) = &ingress.file {
        write!(out, " ({}", Shown(file))?;
        if let Some(line) = ingress.line {
            write!(out, ":{line}")?;
        }
        out.write_str(")")?;
    }
    writeln!(out)?;
    for difference in ingress.differences.iter().chain(&ingress.notes) {
        writeln!(out, "{}", line(difference))?;
    }
    Ok(())
}

/// `  closed  annotation-refused  metadata.annotations[…]: …`
fn line(difference: &Difference) -> String {
    let object = difference
        .object
        .as_deref()
        .map_or(String::new(), |object| format!("{} ", Shown(object)));
    let field = if difference.field.is_empty() {
        String::new()
    } else {
        format!("{}: ", Shown(&difference.field))
    };
    // What was not compared says so in JSON, and in the guide.
    let seen = match difference.checked {
        Evidence::Cases(cases) if difference.effect == Effect::Differs => {
            format!(" [seen: {}]", cases.join(", "))
        }
        Evidence::Cases(_) | Evidence::NotChecked(_) => String::new(),
    };
    format!(
        "  {:9} {}: {object}{field}{}{seen}",
        difference.effect.as_str(),
        difference.kind.as_str(),
        Shown(&difference.message)
    )
}

fn rest(report: &Report, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !report.objects.is_empty() {
        writeln!(out, "\nObjects that have no counterpart here")?;
    }
    for object in &report.objects {
        let namespace = object
            .namespace
            .as_deref()
            .map_or(String::new(), |name| format!("{name}/"));
        let place = object
            .file
            .as_deref()
            .map_or(String::new(), |file| format!(" ({})", Shown(file)));
        writeln!(
            out,
            "  {} {}{}{place}: {}",
            Shown(&object.kind),
            Shown(&namespace),
            Shown(&object.name),
            Shown(&object.message)
        )?;
    }
    if !report.settings.is_empty() {
        writeln!(out, "\nSettings of the controllers")?;
    }
    for setting in &report.settings {
        writeln!(
            out,
            "  {:9} {} {}: {}",
            setting.effect.as_str(),
            Shown(&setting.object),
            Shown(&setting.key),
            Shown(&setting.message)
        )?;
    }
    if !report.defaults.is_empty() {
        writeln!(
            out,
            "\nFor every Ingress, whatever is written (told, and counted with --strict)"
        )?;
    }
    for default in &report.defaults {
        writeln!(
            out,
            "  {} {} ({} Ingresses): {}",
            default.controller.as_str(),
            default.kind.as_str(),
            default.ingresses,
            Shown(&default.message)
        )?;
    }
    if !report.unreadable.is_empty() {
        writeln!(out, "\nWhat could not be read")?;
    }
    for unreadable in &report.unreadable {
        let line = unreadable.line.map_or(String::new(), |line| format!(":{line}"));
        writeln!(
            out,
            "  {}{line}: {}",
            Shown(&unreadable.what),
            Shown(&unreadable.message)
        )?;
    }
    Ok(())
}

fn totals(report: &Report, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let count = |fits: fn(&IngressReport) -> bool| report.ingresses.iter().filter(|it| fits(it)).count();
    write!(
        out,
        "\n{} Ingresses, {} with differences, {} to label, {} without a door",
        report.ingresses.len(),
        count(|ingress| !ingress.differences.is_empty()),
        count(|ingress| !ingress.add_labels.is_empty()),
        count(|ingress| ingress.doors.is_empty()),
    )
}
