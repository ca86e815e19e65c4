//! Rust sources as the tidy tests see them: words with their lines, comments and literals taken out, and which of
//! them are compiled for tests alone.
//!
//! This is no parser: it knows enough of the language to find names, paths, modules and `#[cfg(test)]`, and
//! nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One word or sign of the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Its text; `::` is one token.
    pub(crate) text: String,
    /// Its line, from 1.
    pub(crate) line: usize,
    /// Whether it is compiled for tests alone.
    pub(crate) test_only: bool,
}

/// One file of Rust.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path from the root of the repository.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
    /// Its code.
    pub(crate) tokens: Vec<Token>,
}

/// A path that the code names, made absolute where it begins at this crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPath {
    /// Whether it leads into this crate; then `segments` begin at the crate's root.
    pub(crate) is_own: bool,
    /// The names along it.
    pub(crate) segments: Vec<String>,
    /// Its line.
    pub(crate) line: usize,
    /// Whether it stands in code that is compiled for tests alone.
    pub(crate) test_only: bool,
}

impl NamedPath {
    /// The path as it is written.
    pub(crate) fn display(&self) -> String {
        self.segments.join("::")
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder of the repository, by its path from the root; what is built or fetched is left out.
pub(crate) fn files_below(folder: &str) -> Vec<String> {
    const LEFT_OUT: [&str; 5] = ["target", "node_modules", ".git", ".cache", ".hypothesis"];
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() {
                if !LEFT_OUT.contains(&name.as_ref()) {
                    folders.push(path);
                }
            } else {
                found.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// The text of a file of the repository.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

/// Every Rust file below a folder, with the files that are modules of tests marked throughout.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let mut sources: Vec<Source> = files_below(folder)
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .map(|path| Source::new(path.clone(), read(&path)))
        .collect();
    let test_modules: BTreeSet<String> = sources.iter().flat_map(Source::test_module_files).collect();
    for source in &mut sources {
        let stem = source.path.trim_end_matches(".rs").trim_end_matches("/mod").to_owned();
        if test_modules.iter().any(|module| stem == *module || stem.starts_with(&format!("{module}/"))) {
            source.tokens.iter_mut().for_each(|token| token.test_only = true);
        }
    }
    sources
}

impl Source {
    /// Reads the words of a file.
    pub(crate) fn new(path: String, text: String) -> Self {
        let mut tokens = tokens_of(&without_literals(&text));
        for range in test_only_ranges(&tokens) {
            tokens[range].iter_mut().for_each(|token| token.test_only = true);
        }
        Self { path, text, tokens }
    }

    /// The module that the file is, from the root of its crate; empty for the root itself.
    pub(crate) fn module(&self) -> Vec<String> {
        let inside = self.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        match inside {
            "lib" | "main" => Vec::new(),
            _ => inside.split('/').map(str::to_owned).collect(),
        }
    }

    /// Lines of it without its test modules; all lines of a file that is a test module itself.
    pub(crate) fn lines_without_tests(&self) -> usize {
        let all = self.text.lines().count();
        if self.tokens.iter().all(|token| token.test_only) {
            return all;
        }
        let test_lines: BTreeSet<usize> = test_only_ranges(&self.tokens)
            .into_iter()
            .filter_map(|range| {
                Some(self.tokens.get(range.start)?.line..=self.tokens.get(range.end - 1)?.line)
            })
            .flatten()
            .collect();
        all - test_lines.len()
    }

    /// Modules declared here that are files of their own: `mod name;`.
    pub(crate) fn declared_modules(&self) -> Vec<&str> {
        self.tokens
            .windows(3)
            .filter(|window| window[0].text == "mod" && window[2].text == ";")
            .map(|window| window[1].text.as_str())
            .collect()
    }

    /// Paths without ending of the modules declared here that are compiled for tests alone.
    fn test_module_files(&self) -> Vec<String> {
        let folder = match Path::new(&self.path).file_name().unwrap().to_str().unwrap() {
            "mod.rs" | "lib.rs" | "main.rs" => Path::new(&self.path).parent().unwrap().to_path_buf(),
            _ => PathBuf::from(self.path.trim_end_matches(".rs")),
        };
        self.tokens
            .windows(3)
            .filter(|window| window[0].text == "mod" && window[2].text == ";" && window[0].test_only)
            .map(|window| folder.join(&window[1].text).to_string_lossy().into_owned())
            .collect()
    }

    /// Every path that the code names, those of `use` unfolded.
    pub(crate) fn paths(&self) -> Vec<NamedPath> {
        let mut found = Vec::new();
        let mut position = 0;
        // For each open brace, the name of the module that it opens.
        let mut open: Vec<Option<String>> = Vec::new();
        while let Some(token) = self.tokens.get(position) {
            match token.text.as_str() {
                "{" => {
                    let is_module = self.text_before(position, 2) == "mod";
                    open.push(is_module.then(|| self.text_before(position, 1).to_owned()));
                }
                "}" => {
                    open.pop();
                }
                _ if is_name(&token.text) && self.begins_path(position) => {
                    let mut module = self.module();
                    module.extend(open.iter().flatten().cloned());
                    let start = if token.text == "use" { position + 1 } else { position };
                    let mut paths = Vec::new();
                    position = self.unfold(start, &[], token.text == "use", &mut paths);
                    found.extend(paths.into_iter().map(|path| absolute(path, &module, token)));
                    continue;
                }
                _ => {}
            }
            position += 1;
        }
        found
    }

    /// Whether a name stands at the front of a path, and not behind `a::`, `A<B>::` or a dot.
    fn begins_path(&self, position: usize) -> bool {
        match (self.text_before(position, 2), self.text_before(position, 1)) {
            (front, "::") => !is_name(front) && front != ">",
            (_, before) => before != ".",
        }
    }

    fn text_before(&self, position: usize, back: usize) -> &str {
        position.checked_sub(back).map_or("", |at| self.tokens[at].text.as_str())
    }

    /// Reads one path, and in a `use` all that its braces hold. Returns the position after it.
    fn unfold(&self, start: usize, prefix: &[String], is_use: bool, found: &mut Vec<Vec<String>>) -> usize {
        let text = |position: usize| self.tokens.get(position).map_or("", |token| token.text.as_str());
        let mut path = prefix.to_vec();
        let mut position = start;
        if text(position) == "::" {
            position += 1;
        }
        loop {
            match text(position) {
                "{" if is_use => {
                    position += 1;
                    while !matches!(text(position), "}" | "") {
                        position = self.unfold(position, &path, true, found).max(position + 1);
                        if text(position) == "," {
                            position += 1;
                        }
                    }
                    return position + 1;
                }
                "*" if is_use => {
                    found.push(path);
                    return position + 1;
                }
                name if is_name(name) => path.push(name.to_owned()),
                _ => break,
            }
            position += 1;
            if text(position) != "::" {
                break;
            }
            position += 1;
        }
        if is_use && text(position) == "as" {
            position += 2;
        }
        // `use a::{self}` names `a`.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        found.push(path);
        position.max(start + 1)
    }
}

/// Makes a path begin at the root of this crate if it leads into it.
fn absolute(path: Vec<String>, module: &[String], at: &Token) -> NamedPath {
    let mut base = module.to_vec();
    let mut rest = path.as_slice();
    let mut is_own = false;
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "crate" | "ringcast" => base.clear(),
            "self" => {}
            "super" => {
                base.pop();
            }
            _ => break,
        }
        is_own = true;
        rest = others;
    }
    let mut segments = if is_own { base } else { Vec::new() };
    segments.extend_from_slice(rest);
    NamedPath { is_own, segments, line: at.line, test_only: at.test_only }
}

/// Whether a token is a word and not a sign.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

/// Blanks comments and literals, keeping the lines.
fn without_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_name = code.ends_with(|last: char| last.is_ascii_alphanumeric() || last == '_');
        match literal_len(rest, after_name) {
            Some(length) => {
                code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = &rest[length..];
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    code
}

/// The length of the comment or literal at the front of `text`, if there is one.
fn literal_len(text: &str, after_name: bool) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment_len(text));
    }
    let prefix = ["br", "cr", "b", "c", "r"]
        .into_iter()
        .find(|prefix| {
            !after_name && text.starts_with(prefix) && text[prefix.len()..].starts_with(['"', '#', '\''])
        })
        .unwrap_or("");
    let body = &text[prefix.len()..];
    let hashes = body.len() - body.trim_start_matches('#').len();
    if prefix.ends_with('r') && body[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = &body[hashes + 1..];
        return Some(prefix.len() + hashes + 1 + inside.find(&end).map_or(inside.len(), |at| at + end.len()));
    }
    if hashes > 0 {
        return None;
    }
    match body.chars().next()? {
        '"' => Some(prefix.len() + quoted_len(body, '"')),
        '\'' if is_character(body) => Some(prefix.len() + quoted_len(body, '\'')),
        _ => None,
    }
}

/// Whether a quote begins a character and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    match characters.next() {
        Some('\\') => true,
        Some(_) => characters.next() == Some('\''),
        None => false,
    }
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn block_comment_len(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn tokens_of(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            tokens.push(Token { text: rest[..length].to_owned(), line: index + 1, test_only: false });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// The items that stand under `#[cfg(test)]`, and the whole file under `#![cfg(test)]`.
fn test_only_ranges(tokens: &[Token]) -> Vec<Range<usize>> {
    let text = |position: usize| tokens.get(position).map_or("", |token| token.text.as_str());
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut position = 0;
    while position < tokens.len() {
        let is_inner = text(position) == "#" && text(position + 1) == "!";
        let bracket = position + 1 + usize::from(is_inner);
        if text(position) != "#" || text(bracket) != "[" || text(bracket + 1) != "cfg" {
            position += 1;
            continue;
        }
        let end = matching(tokens, bracket);
        let names: Vec<&str> = (bracket..end).map(text).collect();
        if !names.contains(&"test") || names.contains(&"not") {
            position = end;
        } else if is_inner {
            ranges.clear();
            ranges.push(0..tokens.len());
            break;
        } else {
            let item_end = item_end(tokens, end);
            ranges.push(position..item_end);
            position = item_end;
        }
    }
    ranges
}

/// The position after the item that begins at `start`, attributes included.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut position = start;
    while let Some(token) = tokens.get(position) {
        match token.text.as_str() {
            "(" | "[" => position = matching(tokens, position),
            "{" => return matching(tokens, position),
            ";" => return position + 1,
            _ => position += 1,
        }
    }
    tokens.len()
}

/// The position after the bracket that closes the one at `open`.
fn matching(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (position, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return position + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("src/shard/worker.rs".to_owned(), text.to_owned())
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let source = source(
            "a /* b /* c */ d */ \"e \\\" f\" r#\"g \" h\"# b'i' '\\'' 'j' &'k str // l\nbr\"m\" n r\"o\" \"\u{e9}\" p",
        );
        let words: Vec<&str> = source.tokens.iter().map(|token| token.text.as_str()).collect();
        assert_eq!(words, ["a", "&", "'", "k", "str", "n", "p"]);
        assert_eq!(source.tokens.last().map(|token| token.line), Some(2));
    }

    #[test]
    fn paths_are_unfolded_and_made_absolute() {
        let source = source(
            "use crate::net::{self, sys, a::{B as C, d::*}};\nuse super::command::E;\n\
             mod tests { use super::*; fn f() { super::super::g(); std::h::<u8>(); i.j; ::k::l(); M<N>::o } }",
        );
        let own: Vec<String> =
            source.paths().iter().filter(|path| path.is_own).map(NamedPath::display).collect();
        let expected =
            ["net", "net::sys", "net::a::B", "net::a::d", "shard::command::E", "shard::worker", "shard::g"];
        assert_eq!(own, expected);
        assert!(source.paths().iter().any(|path| !path.is_own && path.display() == "std::h"));
        assert!(source.paths().iter().any(|path| !path.is_own && path.display() == "k::l"));
        assert!(!source.paths().iter().any(|path| ["j", "l", "o"].contains(&path.display().as_str())));
    }

    #[test]
    fn code_for_tests_alone_is_told_apart() {
        let source = source("fn a() {}\n#[cfg(test)]\n#[path(b)]\nmod tests {\n fn c() {}\n}\nfn d() {}\n");
        let test_only = |name: &str| source.tokens.iter().find(|token| token.text == name).unwrap().test_only;
        assert!(!test_only("a") && test_only("c") && !test_only("d"));
        assert_eq!(source.lines_without_tests(), 2);
        assert!(Source::new("src/a.rs".into(), "//! x\n#![cfg(test)]\nfn a() {}".into()).tokens[0].test_only);
    }
}
