//! Where a panic ends: what a client sends may break the engine of its own session, and nobody else's.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does one step of one client. `None` when it has panicked; whatever it has touched is not to be used any more.
pub fn fenced<R>(step: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(step)).ok()
}
