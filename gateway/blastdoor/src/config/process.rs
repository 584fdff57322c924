//! `[process]`: what the whole process may use of its host.

use super::diagnostics::Section;
use super::model::Process;
use super::raw::{Count, RawProcess};

/// Fewer descriptors do not even suffice to start.
const FEWEST_DESCRIPTORS: u64 = 64;

pub(super) fn process(section: &mut Section<'_, '_>, raw: &RawProcess) -> Process {
    Process {
        descriptors: descriptors(section, raw.descriptors.as_ref()),
    }
}

fn descriptors(section: &mut Section<'_, '_>, written: Option<&Count>) -> Option<u64> {
    const ALLOWED: &str = "allowed: `auto`, or a number from 64";
    match written? {
        Count::Word(word) if word == "auto" => None,
        Count::Word(word) => {
            section.error("descriptors", format!("`{word}` is not known; {ALLOWED}"));
            None
        }
        Count::Number(number) if *number < FEWEST_DESCRIPTORS => {
            section.error(
                "descriptors",
                format!("{number} is too few to start with; {ALLOWED}"),
            );
            None
        }
        Count::Number(number) => Some(*number),
    }
}
