//! The description of the API for machines.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::harness::Api;

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
            let is_open = takes_no_token || (path.ends_with("/events") && method == "get");
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
    assert_eq!(operations, 39);
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
