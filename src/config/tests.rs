//! Properties of the configuration as a whole.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

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
        other @ (Invocation::GenerateSecret(_) | Invocation::Print(_)) => panic!("{other:?}"),
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

/// The blocks that the file invites to uncomment: lines without a gap, of which some begin with # and no space.
fn blocks() -> Vec<std::ops::Range<usize>> {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    let mut blocks = Vec::new();
    let mut start = 0;
    for end in 0..=lines.len() {
        if lines.get(end).is_some_and(|line| line.starts_with('#')) {
            continue;
        }
        if lines[start..end].iter().any(|line| is_setting(line)) {
            blocks.push(start..end);
        }
        start = end + 1;
    }
    blocks
}

fn is_setting(line: &str) -> bool {
    line.strip_prefix('#').is_some_and(|rest| !rest.is_empty() && !rest.starts_with([' ', '#']))
}

fn uncommented(blocks: &[std::ops::Range<usize>]) -> String {
    let lines = EXAMPLE.lines().enumerate().map(|(number, line)| {
        let is_meant = is_setting(line) && blocks.iter().any(|block| block.contains(&number));
        format!("{}\n", if is_meant { &line[1..] } else { line })
    });
    lines.collect()
}

#[test]
fn every_block_of_the_example_can_be_uncommented_alone_and_with_all_others() {
    let blocks = blocks();
    assert!(blocks.len() >= 3, "{blocks:?}");
    for chosen in blocks.chunks(1).chain([&blocks[..]]) {
        let text = uncommented(chosen);
        let loaded = with_file("block", &text, |path| load(&flags(&["--config", path]), &environment(&[])));
        let config = loaded.unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_ne!(config, Config::default(), "{text}");
    }
}

/// A comment that looks like a setting would be taken for an invitation.
#[test]
fn comments_of_the_example_are_no_settings() {
    for line in EXAMPLE.lines().filter(|line| line.starts_with("# ")) {
        let text = line.trim_start_matches(['#', ' ']);
        assert!(toml::from_str::<toml::Table>(text).is_err(), "{line}");
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
    let cases: [Case; 27] = [
        (&["--shards", "65"], &[], "--shards"),
        (&["--shards", "0"], &[], "from 1 to 64"),
        (&["--io", "epoll"], &[], "--io"),
        (&["--listen", "8080"], &[], "--listen"),
        (&["--app", "no-secret"], &[], "ID:SECRET"),
        (&["--app", "a b:secret"], &[], "app id"),
        (&["--media-port", "80"], &[], "1024"),
        (&["--advertise", "10.0.0.1=::1"], &[], "one family"),
        (&["--log", "=loud="], &[], "names no part"),
        (&["--listen", ":8080"], &[], "0.0.0.0:8080"),
        (&["--admin", "9464"], &[], "127.0.0.1:9464"),
        (&["--media-port", "10k"], &[], "write 10000"),
        (&["--shards", "two"], &[], "from 1 to 64"),
        (&["--io", "urin"], &[], "did you mean uring?"),
        (&["--media-address", "0.0.0.0"], &[], "leave the list empty"),
        (&["--media-address", "10.0.0.1:40000"], &[], "media.port"),
        (&["--log-format", "jsno"], &[], "did you mean json?"),
        (&[], &[("RINGCAST_HTTP_LISTEN", ",")], "at least one"),
        (&[], &[("RINGCAST_LIMITS_SESSIONS", "-1")], "in digits"),
        (&[], &[("RINGCAST_LIMITS_DISCONNECTED_SECONDS", "30s")], "such as 30"),
        (&[], &[("RINGCAST_WHEP_WAIT", "maybe")], "true nor false"),
        (&[], &[("RINGCAST_STREAMS", "[{\"app\":\"a\"}]")], "stream is missing"),
        (&[], &[("RINGCAST_MEDIA_PROT", "40000")], "did you mean RINGCAST_MEDIA_PORT?"),
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

/// A folder of its own for the time of `test`.
fn with_folder<T>(name: &str, test: impl FnOnce(&Path) -> T) -> T {
    let folder = std::env::temp_dir().join(format!("ringcast-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let result = test(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
    result
}

/// Writes a file with the given rights.
fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn every_secret_can_stand_in_a_file_of_its_own() {
    with_folder("secrets", |folder| {
        let (path, named) =
            (|name: &str| folder.join(name), |name: &str| format!("@{}/{name}", folder.display()));
        for (name, text) in [
            ("app", format!("{SECRET}\n")),
            ("turn", format!("{SECRET}1\r\n")),
            ("key", "token-of-the-key".into()),
        ] {
            write(&path(name), &text, 0o600);
        }
        let file = format!(
            "[[apps]]\nid = \"a\"\nsecrets = [\"{}\", \"@older\", \"@${{CREDENTIALS_DIRECTORY}}/app\"]\n\
             [[streams]]\napp = \"a\"\nstream = \"s\"\npublish_token = \"{}\"\n\
             [turn]\nurls = [\"turn:t.example\"]\nsecret = \"{}\"\n\
             [[ice_servers]]\nurls = [\"turn:t.example\"]\nusername = \"u\"\ncredential = \"{}\"\n",
            named("app"),
            named("key"),
            named("turn"),
            named("key"),
        );
        write(&path("older"), "an-older-secret", 0o640);
        write(&path("ringcast.toml"), &file, 0o644);
        let variables = [
            ("CREDENTIALS_DIRECTORY", folder.to_str().unwrap()),
            ("RINGCAST_TURN_KEYS", &format!("k:{}", named("key"))),
        ];
        let config =
            load(&flags(&["--config", path("ringcast.toml").to_str().unwrap()]), &environment(&variables));
        let config = config.unwrap();
        let secrets: Vec<&str> = config.apps[0].secrets.iter().map(Secret::reveal).collect();
        assert_eq!(secrets, [SECRET, "an-older-secret", SECRET]);
        assert_eq!(config.streams[0].publish_token.as_ref().map(Secret::reveal), Some("token-of-the-key"));
        assert_eq!(config.turn.secret.get().map(Secret::reveal), Some(format!("{SECRET}1").as_str()));
        assert_eq!(config.ice_servers[0].credential.as_ref().map(Secret::reveal), Some("token-of-the-key"));
        assert_eq!(config.turn.keys[0].secrets[0].reveal(), "token-of-the-key");
        // The file of settings holds no secret itself, so everybody may read it.
        assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
        assert!(config.warnings[0].contains("1 of 3 secrets"), "{:?}", config.warnings);

        let from_flag = load(&flags(&["--app", &format!("a:{}", named("app"))]), &environment(&[])).unwrap();
        assert_eq!(from_flag.apps[0].secrets[0].reveal(), SECRET);
        write(&path("app"), SECRET, 0o644);
        let open = load(&flags(&["--app", &format!("a:{}", named("app"))]), &environment(&[])).unwrap();
        assert!(open.warnings[0].contains("every user"), "{:?}", open.warnings);
        write(&path("ringcast.toml"), &format!("[[apps]]\nid = \"a\"\nsecrets = [\"{SECRET}\"]\n"), 0o644);
        let open =
            load(&flags(&["--config", path("ringcast.toml").to_str().unwrap()]), &environment(&[])).unwrap();
        assert!(open.warnings[0].contains("every user"), "{:?}", open.warnings);
    });
}

#[test]
fn a_file_that_holds_no_secret_is_told_with_its_path() {
    with_folder("no-secrets", |folder| {
        let told = |name: &str| refused(&["--app", &format!("a:@{}/{name}", folder.display())], &[]);
        for (name, text, part) in [
            ("empty", "\n", "empty"),
            ("two", "alpha\nbeta\n", "several lines"),
            ("blank", "a b\n", "visible"),
        ] {
            write(&folder.join(name), text, 0o600);
            let text = told(name);
            assert!(text.contains(part) && text.contains(&format!("/{name}:")), "{text}");
            assert!(text.contains("a secret of the app a") && !text.contains("alpha"), "{text}");
        }
        assert!(told("absent").contains("No such file"), "{}", told("absent"));
        let without = refused(&["--app", "a:@${CREDENTIALS_DIRECTORY}/x"], &[]);
        assert!(without.contains("LoadCredential"), "{without}");
    });
}

#[test]
fn short_secrets_are_told_where_they_would_sign() {
    let told = |pairs: &[&str]| {
        let arguments: Vec<&str> = pairs.iter().flat_map(|pair| ["--app", pair]).collect();
        load(&flags(&arguments), &environment(&[])).unwrap().warnings
    };
    let (long, short) = (format!("a:{SECRET}"), "a:0123456789012345678901234567890");
    assert_eq!(told(&[&long]), Vec::<String>::new());
    assert!(told(&[short])[0].contains("the app a has no secret of 32 characters"), "{:?}", told(&[short]));
    assert!(told(&[short, &long])[0].contains("1 of 2 secrets"), "{:?}", told(&[short, &long]));
    let turn = environment(&[("RINGCAST_TURN_URLS", "turn:t"), ("RINGCAST_TURN_SECRET", "north")]);
    assert!(load(&flags(&[]), &turn).unwrap().warnings[0].contains("turn.secret"));
}

#[test]
fn the_secrets_of_the_documents_are_good_ones() {
    // What stands after an app's id in an example will be copied.
    let readme = include_str!("../../README.md");
    let mut seen = 0;
    for example in
        readme.split("--app ").skip(1).filter_map(|rest| rest.split_once(':')).map(|(_, rest)| rest)
    {
        let secret: String =
            example.chars().take_while(|c| !c.is_whitespace() && !"`'\"".contains(*c)).collect();
        if secret == "SECRET" {
            continue;
        }
        assert!(secret.starts_with('@') || secret.len() >= SIGNING_CHARS, "{secret}");
        seen += 1;
    }
    assert!(seen > 0);
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
    assert!(text.contains("line 4") && text.contains("did you mean listen?"), "{text}");
    let text = refused(&["--config", "/nonexistent/ringcast.toml"], &[]);
    assert!(text.contains("/nonexistent/ringcast.toml"), "{text}");
}

#[test]
fn a_file_may_be_written_as_people_do() {
    let text = "[http]\nlisten = \"localhost:8080\"\n[media]\nport = \"41000\"\nsingle_port = \"yes\"\nshards = \"2\"\n";
    let config =
        with_file("people", text, |path| load(&flags(&["--config", path]), &environment(&[]))).unwrap();
    assert_eq!(config.http.listen.addresses(), [std::net::SocketAddr::from(([127, 0, 0, 1], 8_080))]);
    assert_eq!((config.media.port.get(), config.media.single_port), (41_000, true));
    assert_eq!(config.media.shards, ShardChoice::Fixed(2));
    for (text, part) in [
        ("[limits]\nsessions = 1.5\n", "a whole number"),
        ("[limits]\nsessions = \"10k\"\n", "write 10000"),
        ("[limits]\nsessions = -1\n", "below 0"),
        ("[limits]\nsessions = true\n", "true stands where a whole number is needed"),
        ("[http]\ncors_origins = \"https://a.example\"\n", "a list"),
        ("[whep]\nwait = \"maybe\"\n", "neither true nor false"),
        ("log = 5\n", "a text in quotes"),
        ("http = 5\n", "a table, as [http]"),
        ("[[apps]]\nid = \"a\"\n", "secrets is missing"),
    ] {
        let text = with_file("people", text, |path| refused(&["--config", path], &[]));
        assert!(text.contains(part) && text.contains("line "), "{part}: {text}");
    }
}

#[test]
fn variables_of_a_container_platform_stop_nothing_and_are_told() {
    let variables = environment(&[
        ("RINGCAST_PORT", "tcp://10.0.0.1:8080"),
        ("RINGCAST_SERVICE_HOST", "10.0.0.1"),
        ("RINGCAST_SERVICE_PORT_HTTP", "8080"),
        ("RINGCAST_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("RINGCAST_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("RINGCAST_MEDIA_PORT", "udp://10.0.0.2:40000"),
        ("RINGCAST_HTTP_SERVICE_HOST", "10.0.0.3"),
        ("RINGCAST_IMAGE_DIGEST", "sha256:0"),
        ("RINGCAST_LOG", ""),
        ("RINGCAST_CONFIG", " "),
        ("RINGCAST_HTTP_LISTEN", ""),
    ]);
    let mut config = load(&flags(&[]), &variables).unwrap();
    let told = std::mem::take(&mut config.warnings);
    assert_eq!(config, load(&flags(&[]), &environment(&[])).unwrap());
    assert_eq!(told.len(), 8, "{told:?}");
    assert!(told.iter().all(|line| line.contains("is passed over")), "{told:?}");
}

#[test]
fn each_command_has_its_own_options_and_those_before_it_hold_for_it() {
    let help = |arguments: &[&str]| {
        let arguments = std::iter::once("ringcast").chain(arguments.iter().copied()).map(Into::into);
        match invocation(arguments) {
            Ok(Invocation::Print(text)) => text,
            other => panic!("{other:?}"),
        }
    };
    let mint = help(&["mint-token", "--help"]);
    assert!(mint.contains("--subject") && mint.contains("--app") && mint.contains("--config"), "{mint}");
    assert!(!mint.contains("--shards") && !mint.contains("--listen"), "{mint}");
    assert!(help(&["check-config", "--help"]).contains("--shards"));
    let server = help(&["--help"]);
    assert!(server.contains("--listen") && !server.contains("--subject"), "{server}");
    let config = |arguments: &[&str]| load(&flags(arguments), &environment(&[])).unwrap();
    let before = config(&["--app", "a:secret-one", "--shards", "2", "check-config", "--shards", "3"]);
    assert_eq!((before.apps.len(), before.media.shards), (1, ShardChoice::Fixed(3)));
    assert_eq!(
        config(&["--app", "a:secret-one", "mint-token"]).apps,
        config(&["mint-token", "--app", "a:secret-one"]).apps
    );
}

#[test]
fn a_command_line_that_cannot_be_understood_is_answered_with_what_was_meant() {
    for (arguments, part) in [
        (&["--sahrds", "2"][..], "--shards"),
        (&["check-confg"], "check-config"),
        (&["mint-token", "--shards", "2"], "--shards"),
        (&["mint-token", "--ttl", "1h"], "--ttl"),
    ] {
        let arguments = std::iter::once("ringcast").chain(arguments.iter().copied()).map(Into::into);
        let error = invocation(arguments).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn settings_that_need_a_restart_are_told_from_those_that_do_not() {
    let old = Config::default();
    let change =
        |arguments: &[&str]| old.needing_restart(&load(&flags(arguments), &environment(&[])).unwrap());
    assert!(change(&["--log", "debug", "--app", &format!("a:{SECRET}")]).is_empty());
    let names = change(&["--media-port", "41000", "--listen", "127.0.0.1:8081", "--log-format", "json"]);
    assert_eq!(names, ["http.listen", "log_format", "media.port"]);
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
