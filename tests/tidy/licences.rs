//! SPDX licence expressions, as far as Cargo manifests use them: names, `AND`, `OR`, `WITH`, brackets, and `/` for
//! `OR`. Operators stand in capitals or in small letters (SPDX 3.0).

/// Whether a licence expression can be met by the allowed licences alone.
pub(crate) fn is_met(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let in_capitals = |word| match word {
        "and" => "AND",
        "or" => "OR",
        "with" => "WITH",
        other => other,
    };
    let words: Vec<&str> = spaced.split_whitespace().map(in_capitals).collect();
    let mut position = 0;
    let met = any_of(&words, &mut position, allowed);
    met && position == words.len()
}

fn any_of(words: &[&str], position: &mut usize, allowed: &[&str]) -> bool {
    let mut met = all_of(words, position, allowed);
    while words.get(*position) == Some(&"OR") {
        *position += 1;
        met |= all_of(words, position, allowed);
    }
    met
}

fn all_of(words: &[&str], position: &mut usize, allowed: &[&str]) -> bool {
    let mut met = one(words, position, allowed);
    while words.get(*position) == Some(&"AND") {
        *position += 1;
        met &= one(words, position, allowed);
    }
    met
}

fn one(words: &[&str], position: &mut usize, allowed: &[&str]) -> bool {
    let Some(word) = words.get(*position) else { return false };
    *position += 1;
    if *word == "(" {
        let met = any_of(words, position, allowed);
        *position += 1;
        return met;
    }
    // An exception only permits more than its licence does.
    if words.get(*position) == Some(&"WITH") {
        *position += 2;
    }
    allowed.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_as_spdx_says() {
        let cases = [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 or MIT", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("MIT OR GPL-3.0 AND LGPL-3.0", true),
            ("(MIT OR GPL-3.0) AND LGPL-3.0", false),
            ("ISC AND (Apache-2.0 OR GPL-3.0)", false),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
            ("MIT )", false),
            ("", false),
        ];
        for (expression, expected) in cases {
            assert_eq!(is_met(expression, &["MIT", "Apache-2.0"]), expected, "{expression}");
        }
    }
}
