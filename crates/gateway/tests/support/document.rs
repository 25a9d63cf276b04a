//! The served document, held against what is answered: every status and code that an answer has must
//! be in it, and every JSON answer must have the shape that it says.

use hyper::Response;
use hyper::body::Incoming;
use serde_json::Value;
use session_journal_gateway::{api, document};

use super::Answer;

pub(crate) struct Document(pub(crate) Value);

impl Document {
    pub(crate) fn served() -> Self {
        Self(document(&api::routes()))
    }

    /// Method and path of every operation.
    pub(crate) fn operations(&self) -> Vec<(String, String)> {
        let paths = self.0["paths"].as_object().expect("paths");
        let operations = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods.keys().map(move |method| (method.to_uppercase(), path.clone()))
        });
        operations.collect()
    }

    /// What the document says of a request; none where it names no such route.
    fn operation(&self, method: &str, target: &str) -> Option<&Value> {
        let path = target.split('?').next().unwrap_or_default();
        let paths = self.0["paths"].as_object().expect("paths");
        let fits = |template: &str| {
            let (a, b) = (template.split('/'), path.split('/'));
            a.clone().count() == b.clone().count()
                && a.zip(b).all(|(a, b)| a == b || (a.starts_with('{') && !b.is_empty()))
        };
        let found = paths.iter().find(|(template, _)| fits(template))?.1;
        found.get(method.to_lowercase())
    }

    pub(crate) fn must_allow(&self, method: &str, target: &str, response: &Response<Incoming>) {
        assert!(response.headers().contains_key("x-request-id"), "{response:?}");
        let Some(operation) = self.operation(method, target) else {
            let status = response.status().as_u16();
            assert!(
                [403, 404, 405].contains(&status),
                "{method} {target} is not described: {status}"
            );
            return;
        };
        let described = &operation["responses"][response.status().as_str()];
        assert!(!described.is_null(), "{method} {target}: {} is not described", response.status());
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
        let is_there = kind.is_empty() || !described["content"][kind].is_null();
        assert!(is_there, "{method} {target}: {kind} is not described");
    }

    pub(crate) fn must_fit(&self, method: &str, target: &str, answer: &Answer) {
        let Some(operation) = self.operation(method, target) else { return };
        let content = &operation["responses"][answer.status.as_str()]["content"];
        let Some(content) = content.as_object() else {
            assert!(answer.body.is_empty(), "{method} {target}: a body that is not described");
            return;
        };
        for (kind, content) in content {
            if !kind.ends_with("json") {
                continue;
            }
            if let Some(codes) = content["x-codes"].as_array() {
                let code = answer.code();
                let is_there = codes.iter().any(|known| *known == code.as_str());
                assert!(is_there, "{method} {target}: {code} is not described");
            }
            let place = format!("{method} {target}");
            self.must_be(&answer.json(), &content["schema"], &place);
        }
    }

    /// Whether a value has this shape: types, members that must be there, none that is not known.
    fn must_be(&self, value: &Value, schema: &Value, place: &str) {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().expect("a name");
            let schema = &self.0["components"]["schemas"][name];
            assert!(schema.is_object(), "{place}: there is no schema {name}");
            return self.must_be(value, schema, place);
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            if value.is_null() && choices.iter().any(|one| one["type"] == "null") {
                return;
            }
            return self.must_be(value, &choices[0], place);
        }
        assert!(has_type(value, &schema["type"]), "{place}: {value} is not {}", schema["type"]);
        for required in schema["required"].as_array().into_iter().flatten() {
            let name = required.as_str().expect("a name");
            assert!(value.get(name).is_some(), "{place}: {name} is missing in {value}");
        }
        if let (Some(members), Some(known)) = (value.as_object(), schema["properties"].as_object())
        {
            for (name, member) in members {
                if let Some(schema) = known.get(name) {
                    self.must_be(member, schema, &format!("{place}.{name}"));
                } else {
                    let is_open = schema["additionalProperties"] != false;
                    assert!(is_open, "{place}: {name} is not described");
                }
            }
        }
        for item in value.as_array().into_iter().flatten() {
            self.must_be(item, &schema["items"], place);
        }
    }
}

fn has_type(value: &Value, wanted: &Value) -> bool {
    let is = |wanted: &str| match wanted {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    };
    match wanted {
        Value::Null => true,
        Value::String(one) => is(one),
        Value::Array(several) => several.iter().any(|one| is(one.as_str().expect("a type"))),
        other => panic!("type {other}"),
    }
}
