//! Examples in the description of the API: for each operation bodies that can be sent, and what comes back.
//!
//! They stand in `examples.json` by the name of the operation. A text that begins with `@` names one of the descriptions of
//! sessions there, since many share them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, PathItem};
use utoipa::openapi::{Content, OpenApi, RefOr};

/// All examples.
const BOOK: &str = include_str!("examples.json");

/// What the file holds.
#[derive(Deserialize)]
struct Book {
    /// Values of parameters by name.
    parameters: BTreeMap<String, Value>,
    /// Lines of descriptions of sessions by name.
    descriptions: BTreeMap<String, Vec<String>>,
    /// Cases by operation and name.
    operations: BTreeMap<String, BTreeMap<String, Case>>,
}

/// One call.
#[derive(Deserialize)]
struct Case {
    /// What it does.
    about: String,
    /// The media type of the request, where there are several.
    #[serde(rename = "type")]
    media_type: Option<String>,
    request: Option<Value>,
    /// The status of the response, where it is no success.
    status: Option<String>,
    response: Option<Value>,
}

/// Adds all examples to a description.
pub(super) fn add(api: &mut OpenApi) {
    let book: Book = match serde_json::from_str(BOOK) {
        Ok(book) => book,
        Err(error) => {
            tracing::error!(%error, "the examples of the API cannot be read");
            return;
        }
    };
    for item in api.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, patch, .. } = item;
        for operation in [get, put, post, delete, patch].into_iter().flatten() {
            book.illustrate(operation);
        }
    }
}

impl Book {
    fn illustrate(&self, operation: &mut Operation) {
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter {
                let example = self.parameters.get(&parameter.name).cloned();
                *parameter = ParameterBuilder::from(parameter.clone()).example(example).build();
            }
        }
        let cases = operation.operation_id.as_ref().and_then(|id| self.operations.get(id));
        for (name, case) in cases.into_iter().flatten() {
            if let (Some(value), Some(RefOr::T(body))) = (&case.request, &mut operation.request_body) {
                let wanted = |kind: &str| case.media_type.as_ref().is_none_or(|wanted| wanted == kind);
                let content = body.content.iter_mut().find(|(kind, _)| wanted(kind));
                self.put(content.map(|(_, content)| content), name, case, value);
            }
            let Some(value) = &case.response else { continue };
            let fits = |status: &str| match &case.status {
                Some(wanted) => status == wanted,
                None => status.starts_with('2'),
            };
            for (_, response) in operation.responses.responses.iter_mut().filter(|(status, _)| fits(status)) {
                let RefOr::T(response) = response else { continue };
                self.put(response.content.values_mut().next(), name, case, value);
            }
        }
    }

    fn put(&self, content: Option<&mut RefOr<Content>>, name: &str, case: &Case, value: &Value) {
        if let Some(RefOr::T(content)) = content {
            let example = ExampleBuilder::new().summary(case.about.clone()).value(Some(self.written(value)));
            content.examples.insert(name.to_owned(), RefOr::T(example.build()));
        }
    }

    /// The value with its descriptions written out.
    fn written(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let lines = text.strip_prefix('@').and_then(|name| self.descriptions.get(name));
                let text = lines.map_or_else(|| text.clone(), |lines| lines.join("\r\n") + "\r\n");
                Value::String(text)
            }
            Value::Array(items) => items.iter().map(|item| self.written(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), self.written(value))).collect()
            }
            other => other.clone(),
        }
    }
}
