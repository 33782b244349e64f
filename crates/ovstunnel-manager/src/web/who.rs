//! Who looks at the page, and what they may do there. Must not decide it: that is `http::Roles`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use ovstunnel_manager_api::to_hex;
use ovstunnel_server::config::Role;
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;
use sha2::{Digest, Sha256};

/// Who sent a request, and in which role.
#[derive(Clone, Debug)]
pub(super) struct Who {
    /// Who, as the log calls them.
    pub peer: Peer,
    /// In which role.
    pub role: Role,
}

impl Who {
    /// The name that the page calls them by.
    pub fn name(&self) -> String {
        self.peer.name()
    }

    /// For whom a form is made, and a note kept: each certificate, and each session.
    pub fn form_owner(&self) -> String {
        match &self.peer {
            Peer::Certificate(certificate) => match certificate.chain.first() {
                Some(der) => format!("certificate {}", to_hex(&Sha256::digest(der.as_ref()))),
                None => String::new(),
            },
            Peer::Guest(guest) => format!("session {}", guest.id),
            other => other.name(),
        }
    }

    /// Whether they came by a link.
    pub fn is_guest(&self) -> bool {
        matches!(self.peer, Peer::Guest(_))
    }

    /// Whether they may what this role may.
    pub fn may_act_as(&self, least: Role) -> bool {
        self.role >= least
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let peer = Peer::from_request_parts(parts, state).await?;
        // Without a judge, as in tests of routes, nobody has a role.
        let role = parts.extensions.get().copied().unwrap_or(Role::Viewer);
        Ok(Who { peer, role })
    }
}
