//! The reference of findings, generated from the catalogue.

use crate::rules::catalogue;

/// A page with every finding.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Findings of `blastdoor doctor`\n\n\
         Generated from the program; a test keeps it fresh. [How to run it, and how to read it](doctor.md).\n\
         An `error` breaks requests or an isolation; a `warning` will some day, or a setting does not do what it says; an `info`\n\
         is worth knowing and no failure.\n\n\
         | finding | severity | found when | what is seen | ways out | looks at |\n|---|---|---|---|---|---|\n",
    );
    for rule in catalogue() {
        let kinds: Vec<&str> = rule.needs.iter().map(|kind| kind.plural()).collect();
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} |\n",
            rule.id,
            rule.severity.as_str(),
            rule.condition.replace('|', "\\|"),
            rule.effect.replace('|', "\\|"),
            rule.fix.replace('|', "\\|"),
            kinds.join(", ")
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference-findings.md");
        #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
        if std::env::var("UPDATE_DOCS").is_ok() {
            std::fs::write(path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == reference(),
            "{path} is stale; run `UPDATE_DOCS=1 cargo test -p doctor`"
        );
    }

    #[test]
    fn findings_have_a_name_each_and_stand_in_its_order() {
        let names: Vec<&str> = catalogue().map(|rule| rule.id.0).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
    }
}
