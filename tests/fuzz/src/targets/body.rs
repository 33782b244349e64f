//! The JSON bodies of the API.

use ovstunnel_api::{PluginArguments, PostTunnel, PutBridge, TakeoverRequest};
use ovstunnel_server::extract::from_json;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::readable;

/// A body that was read is read the same again from what a client would write of it; a refusal names field and rule.
pub(crate) fn body(data: &[u8]) {
    read::<PutBridge>(data);
    read::<PostTunnel>(data);
    read::<TakeoverRequest>(data);
    read::<PluginArguments>(data);
}

fn read<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) {
    match from_json::<T>(data) {
        Ok(value) => {
            let text = serde_json::to_vec(&value).unwrap_or_default();
            assert_eq!(from_json::<T>(&text).as_ref(), Ok(&value));
        }
        Err(error) => {
            let problem = error.problem();
            assert_eq!(problem.status, 400);
            readable(&problem.detail, 1_500);
            assert!(
                problem.field.as_ref().is_some_and(|field| !field.is_empty()) && problem.rule.is_some(),
                "{problem:?}"
            );
        }
    }
}
