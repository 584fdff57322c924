//! One object as JSON, however deep it is nested.
//!
//! An API server stores fields of custom objects that are nested 10,000 levels deep. Parsers give up at fewer, and with
//! them everything else in the same answer would be lost.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// Levels of one object. The parser has 128 for the whole answer.
const MOST_LEVELS: u8 = 100;

/// An object, or what tells which one it is.
#[derive(Debug)]
pub(super) struct Shallow {
    /// All of it, or only its namespace, its name and its version.
    pub(super) json: Value,
    /// It is nested too deep: nothing else of it may be believed.
    pub(super) is_too_deep: bool,
}

impl Shallow {
    /// What is wrong with an object that is nested too deep.
    pub(super) const TOO_DEEP: &str = "it is nested deeper than 100 levels";
}

impl<'de> Deserialize<'de> for Shallow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut is_too_deep = false;
        let levels = Levels {
            left: MOST_LEVELS,
            is_exceeded: &mut is_too_deep,
        };
        let mut json = levels.deserialize(deserializer)?;
        if is_too_deep {
            let mut name = |field: &str| json.pointer_mut(field).map(Value::take);
            json = json!({ "metadata": {
                "namespace": name("/metadata/namespace"),
                "name": name("/metadata/name"),
                "resourceVersion": name("/metadata/resourceVersion"),
            } });
        }
        Ok(Self { json, is_too_deep })
    }
}

/// Reads so many levels, and skips what is below them, which takes no stack.
struct Levels<'a> {
    left: u8,
    is_exceeded: &'a mut bool,
}

impl Levels<'_> {
    fn below(&mut self) -> Option<Levels<'_>> {
        let left = self.left.checked_sub(1);
        *self.is_exceeded |= left.is_none();
        let is_exceeded = &mut *self.is_exceeded;
        left.map(|left| Levels { left, is_exceeded })
    }
}

impl<'de> DeserializeSeed<'de> for Levels<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Levels<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let next = match self.below() {
                Some(levels) => items.next_element_seed(levels)?,
                None => items.next_element::<IgnoredAny>()?.map(|_skipped| Value::Null),
            };
            match next {
                Some(value) => values.push(value),
                None => return Ok(values.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            match self.below() {
                Some(levels) => {
                    values.insert(name, fields.next_value_seed(levels)?);
                }
                None => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(values.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        let (open, close) = ("{\"a\":[".repeat(levels / 2), "]}".repeat(levels / 2));
        format!(
            r#"{{"metadata":{{"namespace":"shop","name":"deep","resourceVersion":"7"}},"spec":{{"x":{open}1{close}}}}}"#
        )
    }

    #[test]
    fn what_the_parser_reads_is_read_alike() {
        for text in [
            r#"{"a":[1,-2,2.5,true,false,null,"b\u00e4\n"],"c":{},"d":[],"a":"the last counts"}"#,
            &nested(96),
        ] {
            let read: Shallow = serde_json::from_str(text).unwrap();
            assert_eq!(read.json, serde_json::from_str::<Value>(text).unwrap());
            assert!(!read.is_too_deep);
        }
    }

    #[test]
    fn of_what_is_nested_too_deep_the_name_is_left() {
        for levels in [100, 130, 20_000] {
            let read: Vec<Shallow> = serde_json::from_str(&format!("[{},{{}}]", nested(levels))).unwrap();
            let [deep, other] = read.as_slice() else {
                panic!("{levels}: two were sent");
            };
            assert!(deep.is_too_deep && !other.is_too_deep, "{levels}");
            let metadata = json!({ "namespace": "shop", "name": "deep", "resourceVersion": "7" });
            assert_eq!(deep.json, json!({ "metadata": metadata }));
        }
        assert!(serde_json::from_str::<Shallow>("{\"a\":").is_err());
    }
}
