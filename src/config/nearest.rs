//! The name that somebody probably meant, of settings and of members of a request alike.

/// The nearest of the known names, if a slip of the fingers lies between the two: a letter too many, too few, wrong or
/// swapped, and one in three at most.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_ascii_lowercase();
    let slips = |name: &str| strsim::osa_distance(&text, &name.to_ascii_lowercase());
    let (slips, name) = known.into_iter().map(|name| (slips(name), name)).min()?;
    (slips <= 2 && slips < name.len() && slips * 3 <= name.len().max(3)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_told_from_other_words() {
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        for (text, meant) in [
            ("inof", Some("info")),
            ("INFO", Some("info")),
            ("warm", Some("warn")),
            ("debgu", Some("debug")),
            ("verbose", None),
            ("ringcast", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, levels), meant, "{text}");
        }
    }
}
