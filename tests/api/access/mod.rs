//! Tokens, and credentials for other servers.

pub(crate) mod tokens;
mod turn;
