//! The report for people.

use std::fmt;

use resource::escaped;

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
    let rows = report.ingresses.iter().map(|ingress| {
        let labels = ingress
            .add_labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        let labels = labels.collect::<Vec<_>>().join(",");
        let doors = if ingress.doors.is_empty() {
            "none".to_owned()
        } else {
            ingress.doors.join(",")
        };
        [
            escaped(&ingress.ingress),
            escaped(ingress.controller.as_str()),
            escaped(&doors),
            by(ingress).to_owned(),
            if labels.is_empty() {
                "-".to_owned()
            } else {
                escaped(&labels)
            },
            ingress.differences.len().to_string(),
        ]
    });
    let head = ["INGRESS", "CONTROLLER", "DOOR", "BY", "ADD LABEL", "DIFFERENCES"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        let lengths = rows.iter().filter_map(|row| row.get(column));
        lengths.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
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
    write!(out, "\n{}", escaped(&ingress.ingress))?;
    if let Some(file) = &ingress.file {
        write!(out, " ({}", escaped(file))?;
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
        .map_or(String::new(), |object| format!("{} ", escaped(object)));
    let field = if difference.field.is_empty() {
        String::new()
    } else {
        format!("{}: ", escaped(&difference.field))
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
        escaped(&difference.message)
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
            .map_or(String::new(), |file| format!(" ({})", escaped(file)));
        writeln!(
            out,
            "  {} {}{}{place}: {}",
            escaped(&object.kind),
            escaped(&namespace),
            escaped(&object.name),
            object.message
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
            escaped(&setting.object),
            escaped(&setting.key),
            setting.message
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
            escaped(&default.message)
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
            escaped(&unreadable.what),
            escaped(&unreadable.message)
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
