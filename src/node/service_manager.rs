//! Tells systemd, or whoever started the process, how far it is (sd_notify): a datagram of text on a socket that a
//! variable names. Without the variable nobody wants to know.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

const VARIABLE: &str = "NOTIFY_SOCKET";

/// Tells a state, such as `READY=1`. That nobody hears it changes nothing here.
pub(super) fn tell(state: &str) {
    if let Some(Err(error)) = std::env::var_os(VARIABLE).map(|name| send(&name, state)) {
        tracing::warn!(%error, state, "the service manager cannot be told");
    }
}

fn send(name: &OsString, state: &str) -> std::io::Result<()> {
    let address = match name.as_bytes() {
        // A name that is in no file system.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_sent| ())
}
