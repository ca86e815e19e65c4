//! To be written.

pub mod command;
