//! Properties of the configuration as a whole.

use super::*;

const EXAMPLE: &str = include_str!("../../ringcast.example.toml");
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn flags(arguments: &[&str]) -> Flags {
    let arguments = std::iter::once("ringcast").chain(arguments.iter().copied()).map(Into::into);
    match invocation(arguments).unwrap() {
        Invocation::Run(flags) | Invocation::CheckConfig(flags) | Invocation::MintToken(flags, _) => flags,
        Invocation::Print(text) => panic!("{text}"),
    }
}

fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    load(&flags(arguments), &environment(variables)).unwrap_err().to_string()
}

/// Writes `text` to a file of its own for the time of `test`.
fn with_file<T>(name: &str, text: &str, test: impl FnOnce(&str) -> T) -> T {
    let path = std::env::temp_dir().join(format!("ringcast-{}-{name}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let result = test(path.to_str().unwrap());
    std::fs::remove_file(&path).unwrap();
    result
}

#[test]
fn example_file_is_the_default() {
    let example: Config = toml::from_str(EXAMPLE).unwrap();
    assert_eq!(example, Config::default());
}

#[test]
fn example_file_names_every_key_and_variable() {
    for variable in VARIABLES {
        let key = variable.path.last().unwrap();
        assert!(EXAMPLE.contains(variable.name), "{} is missing", variable.name);
        assert!(EXAMPLE.contains(key), "{key} is missing");
    }
}

#[test]
fn every_key_has_a_variable() {
    let toml::Value::Table(table) = toml::Value::try_from(Config::default()).unwrap() else { panic!() };
    for (outer, value) in &table {
        let paths: Vec<Vec<&str>> = match value {
            toml::Value::Table(inner) => inner.keys().map(|key| vec![outer.as_str(), key.as_str()]).collect(),
            _ => vec![vec![outer.as_str()]],
        };
        for path in paths {
            assert!(VARIABLES.iter().any(|variable| variable.path == path), "{path:?} has no variable");
        }
    }
}

#[test]
fn flags_overrule_variables_which_overrule_the_file() {
    let text = "log = \"warn\"\n[media]\nport = 41000\nshards = 3\nio = \"mmsg\"\n";
    let config = with_file("order", text, |path| {
        let variables = environment(&[("RINGCAST_MEDIA_SHARDS", "4"), ("RINGCAST_MEDIA_IO", "uring")]);
        load(&flags(&["--config", path, "--io", "auto"]), &variables).unwrap()
    });
    assert_eq!(config.log.as_str(), "warn");
    assert_eq!(config.media.port.get(), 41_000);
    assert_eq!(config.media.shards, ShardChoice::Fixed(4));
    assert_eq!(config.media.io, IoChoice::Auto);
}

#[test]
fn apps_may_have_several_secrets() {
    let pairs = format!("a:{SECRET},b:x:y,a:other");
    let config = load(&Flags::default(), &environment(&[("RINGCAST_APPS", &pairs)])).unwrap();
    let secrets: Vec<Vec<&str>> =
        config.apps.iter().map(|app| app.secrets.iter().map(Secret::reveal).collect()).collect();
    assert_eq!(secrets, [vec![SECRET, "other"], vec!["x:y"]]);
}

#[test]
fn printed_configuration_hides_secrets_and_is_complete() {
    let servers = r#"[{"urls":["turn:t.example:3478"],"username":"u","credential":"turn-password"}]"#;
    let turn = [("RINGCAST_TURN_URLS", "turn:t.example"), ("RINGCAST_TURN_SECRET", "shared-with-coturn")];
    let variables = environment(&[&[("RINGCAST_ICE_SERVERS", servers)][..], &turn[..]].concat());
    let config = load(&flags(&["--app", &format!("a:{SECRET}")]), &variables).unwrap();
    let text = config.to_toml();
    assert!(!text.contains(SECRET) && !text.contains("turn-password"), "{text}");
    assert!(!text.contains("shared-with-coturn"), "{text}");
    assert_eq!(text.matches(Secret::HIDDEN).count(), 3, "{text}");
    for variable in VARIABLES {
        assert!(text.contains(variable.path.last().unwrap()), "{} is missing in {text}", variable.name);
    }
    assert!(!format!("{config:?}").contains(SECRET));
}

#[test]
fn bad_values_are_refused_with_their_source_and_a_remedy() {
    type Case = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str);
    let cases: [Case; 15] = [
        (&["--shards", "65"], &[], "--shards"),
        (&["--shards", "0"], &[], "from 1 to 64"),
        (&["--io", "epoll"], &[], "--io"),
        (&["--listen", "8080"], &[], "--listen"),
        (&["--app", "no-secret"], &[], "ID:SECRET"),
        (&["--app", "a b:secret"], &[], "app id"),
        (&["--media-port", "80"], &[], "1024"),
        (&["--advertise", "10.0.0.1=::1"], &[], "one family"),
        (&["--log", "=loud="], &[], "log filter"),
        (&[], &[("RINGCAST_HTTP_LISTEN", "")], "at least one"),
        (&[], &[("RINGCAST_MEDIA_PROT", "40000")], "RINGCAST_MEDIA_PROT"),
        (&[], &[("RINGCAST_MEDIA_PORT", "many")], "whole number"),
        (&[], &[("RINGCAST_TURN_URLS", "turn:t.example")], "turn.secret"),
        (&[], &[("RINGCAST_TURN_URLS", "http://t.example")], "turn:"),
        (&[], &[("RINGCAST_TURN_KEYS", "key:token")], "turn.urls"),
    ];
    for (arguments, variables, part) in cases {
        let text = refused(arguments, variables);
        assert!(text.contains(part) && !text.contains('\n'), "{arguments:?} {variables:?}: {text}");
    }
}

#[test]
fn a_bad_secret_is_not_repeated_in_the_message() {
    let text = refused(&["--app", "a:sec ret"], &[]);
    assert!(!text.contains("sec ret"), "{text}");
}

#[test]
fn unknown_keys_are_refused_with_their_line() {
    let text = with_file("unknown", "log = \"info\"\n\n[http]\nlisen = []\n", |path| {
        refused(&["--config", path], &[])
    });
    assert!(text.contains("line 4") && text.contains("lisen"), "{text}");
    let text = refused(&["--config", "/nonexistent/ringcast.toml"], &[]);
    assert!(text.contains("/nonexistent/ringcast.toml"), "{text}");
    let error = invocation(["ringcast".into(), "--sahrds".into()]).unwrap_err();
    assert!(error.to_string().contains("--sahrds"), "{error}");
}

#[test]
fn development_secret_stays_on_this_machine() {
    let text = refused(&["--listen", "127.0.0.1:8080", "--listen", "0.0.0.0:8080"], &[]);
    assert!(text.contains("0.0.0.0:8080") && text.contains("--app"), "{text}");
    load(&flags(&["--listen", "0.0.0.0:8080", "--app", &format!("a:{SECRET}")]), &environment(&[])).unwrap();
    load(&flags(&["--listen", "[::1]:8080"]), &environment(&[])).unwrap();
}

#[test]
fn advertised_addresses_stand_for_their_local_ones() {
    let all: Advertise = "203.0.113.5".parse().unwrap();
    assert!(all.covers("10.0.0.1".parse().unwrap()));
    assert!(!all.covers("127.0.0.1".parse().unwrap()));
    assert!(!all.covers("fd00::1".parse().unwrap()));
    let one: Advertise = "10.0.0.1=203.0.113.5".parse().unwrap();
    assert!(one.covers("10.0.0.1".parse().unwrap()) && !one.covers("10.0.0.2".parse().unwrap()));
}
