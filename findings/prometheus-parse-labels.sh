#!/bin/bash
# prometheus-parse 0.2.5 (crates.io) drops or cuts what the text format of Prometheus has in labels and names, without a word.
#
# The format lets a label's value be any text, with `\\`, `\"` and `\n` for three characters, and blanks stand between tokens. The
# library takes lines apart by patterns: a value with a comma is cut there, one with `=` loses its label, one with `}` its whole
# sample; escapes stay as they are written, in values and in help. Names with a colon, which recording rules have, are gone.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat >"$dir/Cargo.toml" <<'END'
[package]
name = "shows"
version = "0.0.0"
edition = "2021"
[dependencies]
prometheus-parse = "=0.2.5"
END
cat >"$dir/src/main.rs" <<'END'
fn main() {
    for line in [
        r#"sent{to="a b"} 1"#,
        r#"sent{to="a,b"} 1"#,
        r#"sent{to="a=b"} 1"#,
        r#"sent{to="{a}"} 1"#,
        r#"sent{to="say \"a\""} 1"#,
        r#"sent{to="a\\b"} 1"#,
        r#"sent { to = "a" } 1"#,
        r#"job:sent 1"#,
    ] {
        let read = prometheus_parse::Scrape::parse(std::iter::once(Ok(line.to_owned()))).unwrap();
        let told = read.samples.iter().map(|sample| format!("{} to {:?}", sample.metric, sample.labels.get("to")));
        println!("{line} -> {:?}", told.collect::<Vec<_>>());
    }
}
END
seen=$(cargo run --quiet --manifest-path "$dir/Cargo.toml")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
sent{to="a b"} 1 -> ["sent to Some(\"a b\")"]
sent{to="a,b"} 1 -> ["sent to Some(\"a\")"]
sent{to="a=b"} 1 -> ["sent to None"]
sent{to="{a}"} 1 -> []
sent{to="say \"a\""} 1 -> ["sent to Some(\"say \\\\\\\"a\\\\\")"]
sent{to="a\\b"} 1 -> ["sent to Some(\"a\\\\\\\\b\")"]
sent { to = "a" } 1 -> []
job:sent 1 -> []
SEEN
