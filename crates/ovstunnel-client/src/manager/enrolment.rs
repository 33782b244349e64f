//! Requests about the tokens by which hosts join. Must not join: `joining.rs` does, without a certificate.

use http::Method;
use ovstunnel_manager_api::{NewToken, PostToken, Token, TokenList};

use super::Manager;
use crate::ClientError;
use crate::call::Call;

impl Manager {
    /// `GET /v1/enrolment/tokens`: those that are kept.
    ///
    /// # Errors
    /// See [`ClientError`]; this holds for each request below.
    pub async fn tokens(&self) -> Result<TokenList, ClientError> {
        self.get(&["v1", "enrolment", "tokens"], &[]).await
    }

    /// `POST /v1/enrolment/tokens`: makes one. Its text is told this once.
    pub async fn post_token(&self, body: &PostToken) -> Result<NewToken, ClientError> {
        self.0.send_call(Call::new(Method::POST, &["v1", "enrolment", "tokens"]).with_json(body)?).await
    }

    /// `DELETE /v1/enrolment/tokens/{token}`: nobody joins by it any more. Gives it as it was.
    pub async fn delete_token(&self, id: &str) -> Result<Token, ClientError> {
        self.0
            .send_call(Call::new(Method::DELETE, &["v1", "enrolment", "tokens", Call::path_segment("token", id)?]))
            .await
    }
}
