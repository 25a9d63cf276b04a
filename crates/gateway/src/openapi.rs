//! The document that describes the routes, made from what each says of itself. The schemas stand in
//! `openapi/schemas.json`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::api::{Operation, Route};
use crate::problem;

const SCHEMAS: [&str; 2] =
    [include_str!("openapi/schemas.json"), include_str!("openapi/turns.json")];

/// What a stream of events is.
pub(crate) const STREAM: &str = "text/event-stream";
/// The schema of one of its events.
pub(crate) const EVENT: &str = "Event";

/// Codes that every route may answer.
const ANYWHERE: &[&str] = &["forbidden", "internal"];
/// … and those that ask for a token.
const GUARDED: &[&str] = &["unauthorized"];
/// … that take arguments.
const WITH_ARGUMENTS: &[&str] = &["invalid"];
/// … that read files.
const WITH_FILES: &[&str] = &["io"];
/// … that read a body.
const WITH_BODY: &[&str] = &["too-large", "timeout", "unsupported-media-type"];

/// The document.
#[must_use]
pub fn document(routes: &[Route]) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let methods = paths.entry(route.path).or_default();
        methods.insert(route.method.as_str().to_lowercase(), operation(route));
    }
    let schemas = SCHEMAS
        .into_iter()
        .map(|schemas| serde_json::from_str::<Map<String, Value>>(schemas).unwrap_or_default());
    let schemas: Map<String, Value> = schemas.flatten().collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "session journal gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Errors are application/problem+json with a stable `code` and, in `next`, \
                            what to do. A session is named `agent/id` or `id`; in a path its slash is \
                            written %2F.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let operation = &route.operation;
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": parameters(route),
        "responses": responses(route),
    });
    if let Some(scope) = operation.scope {
        described["security"] = json!([{ "bearer": [scope.as_str()] }]);
    }
    if let Some(body) = operation.body {
        described["requestBody"] =
            json!({ "required": true, "content": content("application/json", Some(body)) });
    }
    described
}

fn parameters(route: &Route) -> Value {
    let path = route.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        let schema = match name {
            "session" => json!({ "$ref": "#/components/schemas/SessionName" }),
            _ => json!({ "type": "string" }),
        };
        Some(json!({ "name": name, "in": "path", "required": true, "schema": schema }))
    });
    let query = route.operation.query.iter().map(|(name, kind, what)| {
        json!({ "name": name, "in": "query", "description": what, "schema": argument(kind) })
    });
    let headers = route.operation.headers.iter().map(|(name, kind, what)| {
        json!({ "name": name, "in": "header", "description": what, "schema": argument(kind) })
    });
    path.chain(query).chain(headers).collect()
}

const MARK: &str = "[0-9a-f]{32}-[0-9]{1,19}-[0-9a-f]{8}";

/// What an argument of this kind may be. Words are its kinds of their own, one behind the other.
fn argument(kind: &str) -> Value {
    match kind {
        // They are numbers of records, and counts.
        "integer" => json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }),
        "mark" => json!({ "type": "string", "pattern": format!("^{MARK}$") }),
        // A client that saw no event yet may send the header empty.
        "mark or nothing" => json!({ "type": "string", "pattern": format!("^({MARK})?$") }),
        "string" | "boolean" => json!({ "type": kind }),
        words => json!({ "type": "string", "enum": words.split('|').collect::<Vec<_>>() }),
    }
}

fn responses(route: &Route) -> Value {
    let (status, media, schema) = route.operation.answer;
    let mut responses = BTreeMap::new();
    let mut answer = json!({ "description": route.operation.summary });
    if !media.is_empty() {
        answer["content"] = content(media, schema);
    }
    if route.operation.streams {
        answer["content"][STREAM] = content(STREAM, Some(EVENT))[STREAM].clone();
    }
    responses.insert(status.to_string(), answer);
    let mut codes: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in problems(route) {
        codes.entry(problem::status_of(code)).or_default().push(code);
    }
    for (status, codes) in codes {
        let mut content = content("application/problem+json", Some("Problem"));
        content["application/problem+json"]["x-codes"] = json!(codes);
        let what = format!("A problem: {}", codes.join(", "));
        responses.insert(status.to_string(), json!({ "description": what, "content": content }));
    }
    json!(responses)
}

/// The codes of the problems that a route may answer.
fn problems(route: &Route) -> Vec<&'static str> {
    let Operation { scope, query, body, problems, .. } = route.operation;
    let takes = !query.is_empty() || body.is_some() || route.path.contains('{');
    let groups = [
        (true, ANYWHERE),
        (scope.is_some(), GUARDED),
        (takes, WITH_ARGUMENTS),
        (takes, WITH_FILES),
        (body.is_some(), WITH_BODY),
    ];
    let mut codes: Vec<&str> = problems.concat();
    for (_, group) in groups.iter().filter(|(applies, _)| *applies) {
        codes.extend(group.iter());
    }
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn content(media: &str, schema: Option<&str>) -> Value {
    let schema = match schema {
        Some(schema) => json!({ "$ref": format!("#/components/schemas/{schema}") }),
        None if media == "application/json" => json!({ "type": "object" }),
        None => json!({ "type": "string" }),
    };
    json!({ media: { "schema": schema } })
}
