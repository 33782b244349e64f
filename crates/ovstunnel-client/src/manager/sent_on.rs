//! A request that a manager sends on to the one that leads. Must not read it, or its answer.

use bytes::Bytes;
use http::Method;
use http::response::Parts;

use super::Manager;
use crate::call::Call;
use crate::{ClientError, REQUEST_ID};

impl Manager {
    /// Sends a request on as it was written, under this id and with these headers: what follows the manager's address, and a JSON body, if any. Gives
    /// the answer as it is, whatever it says.
    ///
    /// # Errors
    /// There is none; see [`ClientError::was_sent`].
    pub async fn send_on(
        &self,
        method: Method,
        path_and_query: &str,
        body: Option<Vec<u8>>,
        id: &str,
        headers: Vec<(&'static str, String)>,
    ) -> Result<(Parts, Bytes), ClientError> {
        let call = Call::as_written(method, path_and_query, body).with_header(REQUEST_ID, id.to_owned());
        let call = headers.into_iter().fold(call, |call, (name, value)| call.with_header(name, value));
        self.0.transport.send_whole(call).await
    }
}
