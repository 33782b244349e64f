//! What is changed in xapi's database, each change as one command of `xe`.
//!
//! What it does: gives a change its command, which [`crate::Xe`] runs and a dry run prints. What it must not do: run anything, or
//! read.

use ovstunnel_plan::NetworkUuid;
use uuid::Uuid;

/// Something of xapi's that has an `other-config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XeObject {
    /// A network.
    Network(NetworkUuid),
    /// One that a plan would make, whose UUID nobody knows yet: only to be printed.
    NewNetwork,
    /// The pool.
    Pool(Uuid),
}

impl XeObject {
    /// As it is named to `xe`.
    pub(crate) fn uuid(self) -> String {
        match self {
            XeObject::Network(uuid) => format!("uuid={uuid}"),
            XeObject::NewNetwork => "uuid=<network_uuid>".to_owned(),
            XeObject::Pool(uuid) => format!("uuid={uuid}"),
        }
    }

    /// The commands that get, add, set and remove a parameter.
    pub(crate) fn parameter_command(self, verb: Verb) -> &'static str {
        match (self, verb) {
            (XeObject::Network(_) | XeObject::NewNetwork, Verb::Get) => "network-param-get",
            (XeObject::Network(_) | XeObject::NewNetwork, Verb::Add) => "network-param-add",
            (XeObject::Network(_) | XeObject::NewNetwork, Verb::Set) => "network-param-set",
            (XeObject::Network(_) | XeObject::NewNetwork, Verb::Remove) => "network-param-remove",
            (XeObject::Pool(_), Verb::Get) => "pool-param-get",
            (XeObject::Pool(_), Verb::Add) => "pool-param-add",
            (XeObject::Pool(_), Verb::Set) => "pool-param-set",
            (XeObject::Pool(_), Verb::Remove) => "pool-param-remove",
        }
    }
}

/// What is done with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Add,
    Set,
    Remove,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XeChange {
    /// Makes a network, which needs no device; xapi answers its UUID, and names its bridge.
    CreateNetwork {
        /// Its name-label. xapi lets several have the same.
        label: String,
        /// What it is for, for a person.
        description: String,
    },
    /// Adds a pair to an `other-config`. xapi refuses it where the key is there already.
    Add(XeObject, String, String),
    /// Writes a pair of an `other-config`, whether its key is there or not. xapi takes the old pair away first, so that others
    /// see neither for a moment.
    Set(XeObject, String, String),
    /// Takes a key out of an `other-config`, if it is there.
    Remove(XeObject, String),
}

impl XeChange {
    /// The command and its arguments.
    pub(crate) fn command_line(&self) -> (&'static str, Vec<String>) {
        const OTHER_CONFIG: &str = "param-name=other-config";
        match self {
            XeChange::CreateNetwork { label, description } => {
                ("network-create", vec![format!("name-label={label}"), format!("name-description={description}")])
            }
            XeChange::Add(object, key, value) => (
                object.parameter_command(Verb::Add),
                vec![object.uuid(), OTHER_CONFIG.into(), format!("{key}={value}")],
            ),
            XeChange::Set(object, key, value) => {
                (object.parameter_command(Verb::Set), vec![object.uuid(), format!("other-config:{key}={value}")])
            }
            XeChange::Remove(object, key) => (
                object.parameter_command(Verb::Remove),
                vec![object.uuid(), OTHER_CONFIG.into(), format!("param-key={key}")],
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_one_command_of_its_class() {
        let uuid = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";
        let (network, pool) = (XeObject::Network(uuid.parse().unwrap()), XeObject::Pool(uuid.parse().unwrap()));
        let line = |change: &XeChange| {
            let (command, args) = change.command_line();
            format!("{command} {}", args.join(" "))
        };
        let create = XeChange::CreateNetwork { label: "OVSTunnel7".into(), description: "x y".into() };
        assert_eq!(line(&create), "network-create name-label=OVSTunnel7 name-description=x y");
        let add = |object| line(&XeChange::Add(object, "k".into(), "v".into()));
        assert_eq!(add(network), format!("network-param-add uuid={uuid} param-name=other-config k=v"));
        assert_eq!(add(pool), format!("pool-param-add uuid={uuid} param-name=other-config k=v"));
        let set = |object| line(&XeChange::Set(object, "k".into(), String::new()));
        assert_eq!(set(network), format!("network-param-set uuid={uuid} other-config:k="));
        assert_eq!(set(XeObject::NewNetwork), "network-param-set uuid=<network_uuid> other-config:k=");
        let remove = line(&XeChange::Remove(pool, "k".into()));
        assert_eq!(remove, format!("pool-param-remove uuid={uuid} param-name=other-config param-key=k"));
    }
}
