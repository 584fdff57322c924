//! Label selectors of Kubernetes objects (`metav1.LabelSelector`, and the plain maps of Services).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels of an object.
pub(crate) type Labels = BTreeMap<String, String>;

/// Whether a selector matches. An empty one matches everything.
pub(crate) fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let plain = selector.match_labels.iter().flatten();
    let mut expressions = selector.match_expressions.iter().flatten();
    plain
        .into_iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && expressions.all(|expression| {
            let value = labels.get(&expression.key);
            let listed =
                value.is_some_and(|value| expression.values.iter().flatten().any(|one| one == value));
            match expression.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                // The API server admits no other one.
                _ => false,
            }
        })
}

/// Whether a Service's selector matches. One without selector has endpoints that somebody else writes.
pub(crate) fn matches_map(selector: &Labels, labels: &Labels) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_the_api_says() {
        let labels = Labels::from([("a".to_owned(), "1".to_owned())]);
        let table = [
            (r#"{}"#, true),
            (r#"{"matchLabels":{"a":"1"}}"#, true),
            (r#"{"matchLabels":{"a":"2"}}"#, false),
            (
                r#"{"matchExpressions":[{"key":"a","operator":"In","values":["1","2"]}]}"#,
                true,
            ),
            (
                r#"{"matchExpressions":[{"key":"a","operator":"NotIn","values":["1"]}]}"#,
                false,
            ),
            (
                r#"{"matchExpressions":[{"key":"b","operator":"NotIn","values":["1"]}]}"#,
                true,
            ),
            (r#"{"matchExpressions":[{"key":"a","operator":"Exists"}]}"#, true),
            (
                r#"{"matchExpressions":[{"key":"a","operator":"DoesNotExist"}]}"#,
                false,
            ),
            (
                r#"{"matchLabels":{"a":"1"},"matchExpressions":[{"key":"b","operator":"Exists"}]}"#,
                false,
            ),
        ];
        for (selector, expected) in table {
            let parsed: LabelSelector = serde_json::from_str(selector).unwrap();
            assert_eq!(matches(&parsed, &labels), expected, "{selector}");
        }
        assert!(
            !matches_map(&Labels::new(), &labels),
            "a Service without selector selects nothing"
        );
        assert!(matches_map(&labels, &labels));
    }
}
