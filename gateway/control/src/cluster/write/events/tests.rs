use std::collections::HashSet;

use super::*;

#[test]
fn every_reason_is_documented() {
    let fields = [
        "spec.tls[0].secretName",
        "spec.ingressClassName",
        "spec.rules[0].host",
        "spec",
        "metadata.annotations[x]",
        "metadata.labels[expose]",
        "metadata.namespace",
        "metadata.name",
    ];
    let ingress = ObjectRef::global(Kind::Ingress, "x");
    let mut reasons = HashSet::new();
    for field in fields {
        for severity in [Severity::Error, Severity::Warning] {
            let mut problem = Problem::of_file(severity, "x", "x");
            problem.object = ingress.clone();
            field.clone_into(&mut problem.field);
            reasons.insert(reason(&problem));
        }
    }
    let topics = [
        Topic::FilterRefused,
        Topic::FilterConflict,
        Topic::ReferenceMissing,
        Topic::ReferenceForeign,
        Topic::CanaryUnpaired,
        Topic::FilterDiffers,
        Topic::ChallengeUnreachable,
    ];
    for topic in topics {
        let mut problem = Problem::of_file(Severity::Note, "x", "x").about(topic);
        problem.object = ingress.clone();
        reasons.insert(reason(&problem));
        assert_eq!(is_worth_an_event(&problem), topic == Topic::FilterDiffers);
    }
    let documented: HashSet<&str> = EVENT_REASONS.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, documented);
}

#[test]
fn differences_are_told_together() {
    let problem = |severity, topic, field: &str| {
        let mut problem = Problem::of_file(severity, "x", format!("{field} is so")).about(topic);
        field.clone_into(&mut problem.field);
        Arc::new(problem)
    };
    let told = together(vec![
        problem(Severity::Note, Topic::FilterDiffers, "a"),
        problem(Severity::Error, Topic::FilterRefused, "b"),
        problem(Severity::Note, Topic::FilterDiffers, "c"),
    ]);
    let notes: Vec<String> = told.iter().map(|problem| note(problem)).collect();
    assert_eq!(notes, ["b: b is so", "a: a is so; c: c is so"]);
    let types: Vec<&str> = told.iter().map(|problem| event_type(problem)).collect();
    assert_eq!(types, ["Warning", "Normal"]);
}

#[test]
fn the_guide_lists_every_reason() {
    let guide = include_str!("../../../../../../docs/guide-kubernetes.md");
    for (reason, meaning) in EVENT_REASONS {
        let row = format!("| `{reason}` | {meaning} |");
        assert!(guide.contains(&row), "{row}");
    }
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!(shortened("grün", 3), "gr");
    assert_eq!(shortened("grün", 4), "grü");
    assert_eq!(shortened("", 4), "");
    assert_eq!(shortened("grün", 100), "grün");
}
