//! One part of a JSON document, which knows where it stands. Must not know what it is about.

use std::str::FromStr;

use ovstunnel_plan::{Cidr, Invalid};
use ovstunnel_types::text::excerpt;
use serde_json::Value;

use super::BadConfig;

/// A part and its place: `vpc.tiers[0].cidr`.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    value: &'a Value,
    place: String,
}

impl<'a> Reader<'a> {
    /// The whole document.
    pub fn new(value: &'a Value) -> Self {
        Reader { value, place: String::new() }
    }

    fn inner_place(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    /// A field, where it is there and not null.
    pub fn optional_field(&self, name: &str) -> Result<Option<Reader<'a>>, BadConfig> {
        let Some(fields) = self.value.as_object() else { return Err(self.bad_value("must be an object")) };
        let value = fields.get(name).filter(|value| !value.is_null());
        Ok(value.map(|value| Reader { value, place: self.inner_place(name) }))
    }

    /// A field that must be there.
    pub fn required_field(&self, name: &str) -> Result<Reader<'a>, BadConfig> {
        self.optional_field(name)?.ok_or_else(|| BadConfig(format!("{} is required", self.inner_place(name))))
    }

    /// The items of a list.
    pub fn items(&self) -> Result<impl Iterator<Item = Reader<'a>> + use<'a>, BadConfig> {
        let Some(items) = self.value.as_array() else { return Err(self.bad_value("must be a list")) };
        let place = self.place.clone();
        Ok(items.iter().enumerate().map(move |(n, value)| Reader { value, place: format!("{place}[{n}]") }))
    }

    /// A text, or a number as text.
    pub fn text(&self) -> Result<String, BadConfig> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(self.bad_value("must be a text or a number")),
        }
    }

    /// A value with a rule of its own.
    pub fn parse<T: FromStr<Err = Invalid>>(&self) -> Result<T, BadConfig> {
        self.text()?.parse().map_err(|error: Invalid| self.bad_value(error.rule))
    }

    /// An IPv4 network. Servers send what a user has typed, an address of the network with the length of its prefix too.
    pub fn ipv4_network(&self) -> Result<Cidr, BadConfig> {
        let text = self.text()?;
        let (network, had_host_bits) = Cidr::parse_masked(&text).map_err(|error| self.bad_value(error.rule))?;
        if had_host_bits {
            tracing::debug!(%network, "{} is {}: the bits behind its prefix are left out", self.place, excerpt(&text));
        }
        Ok(network)
    }

    /// A value of which the rule is said here; nothing is taken for it that has a sign or a space.
    pub fn number<T: FromStr>(&self, rule: &str) -> Result<T, BadConfig> {
        let text = self.text()?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).ok_or_else(|| self.bad_value(rule))
    }

    /// That this part breaks a rule.
    pub fn bad_value(&self, rule: &str) -> BadConfig {
        let place = if self.place.is_empty() { "config" } else { &self.place };
        let value = match self.value {
            Value::String(text) => excerpt(text).to_string(),
            Value::Object(_) => "an object".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            other => other.to_string(),
        };
        BadConfig(format!("{place} {rule}; got `{value}`"))
    }
}
