//! The rules of this house that no compiler checks, each a table and a test. Every complaint names the place and
//! what to do there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its premise ends"
)]

mod documents;
mod layers;
mod licences;
mod packages;
mod source;
mod words;

use std::collections::BTreeSet;

/// Fails with all complaints at once.
fn report(complaints: &[String]) {
    let complaints: Vec<&str> =
        BTreeSet::from_iter(complaints.iter().map(String::as_str)).into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
