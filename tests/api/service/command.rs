//! What the program does for an operator at a terminal: secrets and tokens, and the refusal of slips.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use axum::body::Body;
use axum::http::{Method, Request};

use crate::harness::{APP, Api, SECRET};

fn ringcast(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringcast"));
    let inherited = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("RINGCAST_"));
    command.env_clear().envs(inherited).args(arguments).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = ringcast(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one sentence by which it refuses.
fn refused(arguments: &[&str]) -> String {
    let output = ringcast(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?} {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn a_generated_secret_is_a_new_one_and_its_file_is_for_nobody_else() {
    let (one, other) = (printed(&["generate-secret"]), printed(&["generate-secret"]));
    assert!(
        one.len() == 65 && one.trim().bytes().all(|byte| byte.is_ascii_hexdigit()) && one != other,
        "{one}"
    );
    let path = std::env::temp_dir().join(format!("ringcast-secret-{}", std::process::id()));
    let file = path.to_str().unwrap();
    assert_eq!(printed(&["generate-secret", file]), "", "what is in the file is not on the screen");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written.len() == 65 && written != one);
    assert!(refused(&["generate-secret", file]).contains("choose another name"), "no file is overwritten");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    let token = printed(&["mint-token", "--app", &format!("a:@{file}"), "--whip", "studio"]);
    assert_eq!(token.trim().split('.').count(), 3);
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_minted_token_opens_what_it_names() {
    let app = format!("{APP}:{SECRET}");
    let token = printed(&["mint-token", "--app", &app, "--room", "garden", "--publish", "cam-*"]);
    let api = Api::new();
    for (room, status) in [("garden", 200), ("yard", 403)] {
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("/v1/apps/{APP}/ext/rooms/{room}"))
            .header("authorization", format!("Bearer {}", token.trim()))
            .body(Body::empty())
            .unwrap();
        assert_eq!(api.request(request).await.status, status, "{room}");
    }
}

#[test]
fn a_token_with_a_slip_is_not_made() {
    let app = format!("{APP}:{SECRET}");
    for (arguments, hint) in [
        (&["--publish", "a,b"][..], "\"a\" and \"b\""),
        (&["--publish", "a*b"], "\"a*\""),
        (&["--publish", "*", "--subject", ""], "sub is empty"),
        (&["--subject", "ann"], "would allow nothing"),
        (&["--publish", "*", "--ttl", "0"], "ttl must be"),
        (&["--publish", "*", "--for", "another"], "another"),
    ] {
        let text = refused(&[&["mint-token", "--app", &app], arguments].concat());
        assert!(text.contains(hint), "{arguments:?}: {text}");
    }
    let short = refused(&["mint-token", "--app", "a:a-secret-of-only-31-characters-", "--publish", "*"]);
    assert!(short.contains("32 characters") && short.contains("generate-secret"), "{short}");
    assert!(!short.contains("a-secret-of"), "{short}");
}

#[test]
fn check_config_says_which_secrets_sign_nothing() {
    let output = ringcast(&["check-config", "--app", "a:a-secret-of-only-31-characters-"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("warning") && told.contains("the app a "), "{told}");
    let good = ringcast(&["check-config", "--app", &format!("a:{SECRET}")]);
    assert!(good.status.success() && good.stderr.is_empty(), "{good:?}");
}
