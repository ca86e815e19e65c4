//! The runtime that a shard's thread runs on.
//!
//! Owns the choice between tokio-uring and plain tokio; tokio-uring is named nowhere else, so that it can be replaced.
//! Must not know what runs on it. Trap: an operation of tokio-uring itself enters the kernel only when the thread
//! parks, so such work (files) belongs on threads that do not forward media. Next: the shard's worker.

use std::future::Future;

use tokio::task::LocalSet;

use super::{IoKind, NetError};

/// Runs `future`, which need not be `Send`, to its end on the calling thread.
///
/// Tasks may be put beside it with `tokio::task::spawn_local`; they are dropped when it ends.
pub fn run<F: Future>(io: IoKind, future: F) -> Result<F::Output, NetError> {
    match io {
        IoKind::Uring => {
            let runtime = tokio_uring::Runtime::new(&tokio_uring::builder())
                .map_err(NetError::setup("start the io_uring runtime of a shard"))?;
            Ok(runtime.block_on(future))
        }
        IoKind::Mmsg => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build()
                .map_err(NetError::setup("start the runtime of a shard"))?;
            Ok(LocalSet::new().block_on(&runtime, future))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn both_hosts_run_local_tasks_and_return_the_output() {
        for io in [IoKind::Uring, IoKind::Mmsg] {
            let local = Rc::new(7);
            let output = run(io, async {
                let shared = Rc::clone(&local);
                tokio::task::spawn_local(async move { *shared }).await.unwrap()
            });
            assert_eq!(output.unwrap(), 7, "{io}");
        }
    }
}
