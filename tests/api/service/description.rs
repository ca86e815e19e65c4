//! The description of the API for machines.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::harness::{APP, Api, SECRET};

async fn description(api: &Api) -> Value {
    api.request(Request::builder().uri("/openapi.json").body(Body::empty()).unwrap()).await.ok()
}

#[tokio::test(start_paused = true)]
async fn every_operation_is_described_with_its_refusals() {
    let description = description(&Api::new()).await;
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut operations = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        let is_turn = path.starts_with("/v1/turn/keys/{keyId}/");
        let is_stream =
            ["/whip/{appId}/{stream}", "/whep/{appId}/{stream}"].iter().any(|own| path.starts_with(own));
        assert!(is_turn || is_stream || path.starts_with("/v1/apps/{appId}/"), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            let is_endpoint = is_stream && method == "get" && path.ends_with("/{stream}");
            let takes_no_token = is_endpoint || path == "/v1/apps/{appId}/generate-ice-servers";
            operations += 1;
            let place = format!("{method} {path}");
            // The id of the viewer stands in for the token.
            let is_open = takes_no_token || (is_stream && path.ends_with("/events") && method == "get");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("404"), "{place}");
            assert_eq!(responses.contains_key("401"), !takes_no_token, "{place}");
            assert_eq!(responses.contains_key("403"), !takes_no_token && !is_turn, "{place}");
            assert_eq!(responses.contains_key("410"), !is_stream && path.contains("{sessionId}"), "{place}");
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{place}");
            let parameters = operation["parameters"].as_array().unwrap();
            for name in path.split(['{', '}']).skip(1).step_by(2) {
                let known = parameters.iter().find(|parameter| parameter["name"] == name);
                let known = known.unwrap_or_else(|| panic!("{place}: {name} is missing"));
                assert_eq!((&known["in"], &known["required"]), (&"path".into(), &true.into()), "{place}");
                assert!(known["schema"]["pattern"].is_string(), "{place}: {name}");
            }
            let expected = match (is_turn, is_open) {
                (true, _) => json!([{"turnKeyToken": []}]),
                (false, true) => json!([{}]),
                (false, false) => json!([{"appSecret": []}, {"scopedToken": []}]),
            };
            let security = operation.get("security").unwrap_or_else(|| &description["security"]);
            assert_eq!(*security, expected, "{place}");
        }
    }
    assert_eq!(operations, 45);
}

#[tokio::test(start_paused = true)]
async fn every_reference_leads_somewhere() {
    let description = description(&Api::new()).await;
    let text = description.to_string();
    let references: Vec<&str> =
        text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(references.len() > 20);
    for reference in references {
        assert!(description.pointer(reference).is_some(), "{reference}");
    }
}

/// Words of JSON Schema that the tests below know, some of which bind nothing.
const WORDS: [&str; 20] = [
    "$ref",
    "type",
    "properties",
    "required",
    "items",
    "enum",
    "oneOf",
    "allOf",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "format",
    "description",
    "default",
    "examples",
    "title",
];

/// Complains of what in a value does not fit a schema. Other words of JSON Schema are complained of too, so that nothing
/// passes unseen.
fn misfits(api: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return misfits(api, api.pointer(&reference[1..]).unwrap(), value, place);
    }
    let words = schema.as_object().unwrap().keys();
    let unknown = words.filter(|word| !WORDS.contains(&word.as_str()) && *word != "additionalProperties");
    let mut found: Vec<String> =
        unknown.map(|word| format!("{place}: the test does not know the word {word}")).collect();
    let choices = schema["oneOf"].as_array();
    if choices.is_some_and(|all| !all.iter().any(|one| misfits(api, one, value, place).is_empty())) {
        found.push(format!("{place}: none of the choices fits {value}"));
    }
    // Each part names some of the members.
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let of_parts = parts.flat_map(|part| misfits(api, part, value, place));
    found.extend(of_parts.filter(|text| !text.contains("is not described")));
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        found.push(format!("{place}: {value} is not in the list"));
    }
    if !has_type(schema, value) {
        found.push(format!("{place}: {value} is no {}", schema["type"]));
    }
    if !is_within(schema, value) {
        found.push(format!("{place}: {value} is out of bounds"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(misfits(api, &schema["items"], item, &format!("{place}[{index}]")));
    }
    found.extend(misfits_of_members(api, schema, value, place));
    found
}

fn misfits_of_members(api: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let Some(members) = value.as_object() else { return Vec::new() };
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing = required.filter(|name| !members.contains_key(*name));
    let mut found: Vec<String> = missing.map(|name| format!("{place}: {name} is missing")).collect();
    let Some(described) = schema["properties"].as_object() else { return found };
    for (name, member) in members {
        let place = format!("{place}.{name}");
        match described.get(name) {
            Some(schema) => found.extend(misfits(api, schema, member, &place)),
            None => found.push(format!("{place}: is not described")),
        }
    }
    found
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    };
    match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is),
        kind => is(kind),
    }
}

fn is_within(schema: &Value, value: &Value) -> bool {
    let (size, least, most) = match value {
        Value::Number(number) => (number.as_f64().unwrap(), "minimum", "maximum"),
        Value::String(text) => (text.len() as f64, "minLength", "maxLength"),
        Value::Array(items) => (items.len() as f64, "minItems", "maxItems"),
        _ => return true,
    };
    schema[least].as_f64().is_none_or(|least| size >= least)
        && schema[most].as_f64().is_none_or(|most| size <= most)
}

#[test]
fn the_test_of_examples_sees_what_does_not_fit() {
    let api = json!({"components": {"schemas": {"Name": {"type": "string", "minLength": 2}}}});
    let schema = json!({
        "type": "object", "required": ["name"],
        "properties": {
            "name": {"$ref": "#/components/schemas/Name"},
            "many": {"type": "array", "items": {"type": ["integer", "null"], "minimum": 3}},
            "one": {"oneOf": [{"type": "null"}, {"enum": ["a", "b"]}]},
        },
    });
    let fits = |value: &Value| misfits(&api, &schema, value, "it");
    assert!(fits(&json!({"name": "ab", "many": [3, null], "one": "a"})).is_empty());
    for wrong in [
        json!({}),
        json!({"name": "a"}),
        json!({"name": 3}),
        json!({"name": "ab", "many": [2]}),
        json!({"name": "ab", "many": ["x"]}),
        json!({"name": "ab", "one": "c"}),
        json!({"name": "ab", "more": 1}),
        json!("ab"),
    ] {
        assert_eq!(fits(&wrong).len(), 1, "{wrong}: {:?}", fits(&wrong));
    }
    assert_eq!(misfits(&api, &json!({"not": {}}), &json!(1), "it").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_operation_has_examples_of_all_that_it_takes_and_gives_and_they_fit() {
    let api = description(&Api::new()).await;
    let mut complaints = Vec::new();
    let mut check = |content: &Value, place: &str| {
        let examples = content["examples"].as_object().into_iter().flatten();
        let mut count = 0;
        for (name, example) in examples {
            count += 1;
            let place = format!("{place}, {name}");
            assert!(example["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{place}");
            complaints.extend(misfits(&api, &content["schema"], &example["value"], &place));
            let text = example["value"].to_string();
            assert!(!text.contains("\"@"), "{place}: a description is not there: {text}");
        }
        if count == 0 {
            complaints.push(format!("{place}: no example: see examples.json"));
        }
    };
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            for parameter in operation["parameters"].as_array().unwrap() {
                assert!(parameter.get("example").is_some(), "{place}: {}", parameter["name"]);
            }
            for (kind, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                check(content, &format!("{place}: request, {kind}"));
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                for (kind, content) in response["content"].as_object().into_iter().flatten() {
                    if status.starts_with('2') {
                        check(content, &format!("{place}: {status}, {kind}"));
                    }
                }
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn requests_of_the_examples_are_taken() {
    let api = Api::new();
    let description = description(&api).await;
    let mut taken = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let content = &operation["requestBody"]["content"]["application/json"];
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                // What has no session or stream in it is not told from a typing error by the status alone.
                if path.starts_with("/v1/turn") || path.starts_with("/whep") || path.contains("adapters") {
                    continue;
                }
                let session = api.open().await;
                let path = path.replace("{appId}", APP).replace("{sessionId}", &session);
                let path = path.replace("{room}", "garden").replace("{memberId}", "ada");
                let path = path.replace("{stage}", "garden");
                let request = Request::builder()
                    .method(method.to_uppercase().as_str())
                    .uri(&path)
                    .header("authorization", format!("Bearer {SECRET}"))
                    .body(Body::from(example["value"].to_string()))
                    .unwrap();
                let response = api.request(request).await;
                let body = response.json();
                let needs_an_offer = path.ends_with("/renegotiate");
                // It takes part with tracks that it has to publish first.
                let needs_tracks = path.contains("/ext/stages/garden/members/");
                let expected: &[u16] = if needs_an_offer || needs_tracks { &[406] } else { &[200, 201] };
                assert!(expected.contains(&response.status), "{method} {path}, {name}: {body}");
                if needs_an_offer {
                    assert_eq!(body["errorSubcode"], "invalid_modification_stable", "{body}");
                }
                taken += 1;
            }
        }
    }
    assert!(taken >= 15, "{taken}");
}
