//! The place of the management server: what runs here calls the hosts over the fabric.
//! Must not reach anything else: its sockets are in the fabric's namespace.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use ovstunnel_lab::Lab;
use tokio::runtime::Runtime;

/// Threads that live in the fabric's namespace, and with them every connection that they make.
#[derive(Debug)]
pub struct Manager {
    runtime: Option<Runtime>,
}

impl Manager {
    pub(crate) fn new(lab: &Lab) -> Result<Self> {
        // The runtime's threads inherit the namespace of the thread that builds it.
        let runtime = lab.fabric().enter(|| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2).enable_all().build().context("a runtime in the fabric's namespace")
        })?;
        Ok(Manager { runtime: Some(runtime) })
    }

    /// Runs a future in the management server's place and waits for it.
    ///
    /// # Panics
    /// When the future does: a failed assertion in there is one out here.
    pub fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        // There is a runtime until `drop`.
        #[allow(clippy::expect_used, reason = "only drop takes it away")]
        let runtime = self.runtime.as_ref().expect("the manager's runtime");
        match runtime.block_on(runtime.spawn(future)) {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Starts a future in the management server's place.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        #[allow(clippy::expect_used, reason = "only drop takes it away")]
        let runtime = self.runtime.as_ref().expect("the manager's runtime");
        runtime.spawn(future)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}
