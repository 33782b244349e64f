//! What the log lets through, and how its lines look.

use serde::de::{Deserializer, Error, Unexpected};
use serde::{Deserialize, Serialize, Serializer};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::values::parse_text;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people: time, level, request, module, message, fields.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged: a level, and levels of single modules. Other crates' lines are logged from `warn` on at most, unless
/// a module of theirs is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    text: String,
    base: LevelFilter,
    modules: Vec<(String, LevelFilter)>,
}

/// Target of the lines that say who did what.
pub const AUDIT: &str = "audit";

/// What a level may be.
pub const LEVELS: &str = r#""off", "error", "warn", "info", "debug" or "trace""#;

impl Level {
    /// Reads `"info"` or `"info,ovstunnel_server=debug"`. None when it is neither.
    pub fn parse(text: &str) -> Option<Level> {
        let mut parts = text.split(',').map(|part| part.trim_matches(' '));
        let base = parse_level(parts.next()?)?;
        let modules = parts
            .map(|part| {
                let (module, word) = part.split_once('=')?;
                let is_module =
                    !module.is_empty() && module.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c));
                is_module.then_some((module.to_owned(), parse_level(word)?))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Level { text: text.to_owned(), base, modules })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As a filter for the log of a program, which is the name of its crate.
    ///
    /// Who did what is logged at any level but `off`, unless `audit` is among the modules. To whoever sets a level this kit is
    /// a part of the program: `ovstunneld::listen` is the kit's `listen`, too.
    pub fn targets(&self, program: &str) -> Targets {
        let audit = if self.base == LevelFilter::OFF { LevelFilter::OFF } else { self.base.max(LevelFilter::INFO) };
        Targets::new()
            .with_default(self.base.min(LevelFilter::WARN))
            .with_target("ovstunnel", self.base)
            .with_target(AUDIT, audit)
            .with_targets(self.modules.iter().filter_map(|(module, level)| Some((of_kit(module, program)?, *level))))
            .with_targets(self.modules.iter().cloned())
    }

    /// The lines that say who did what, and no others.
    pub fn targets_of_audit(&self) -> Targets {
        let base = if self.base == LevelFilter::OFF { LevelFilter::OFF } else { LevelFilter::INFO };
        let own = self.modules.iter().rev().find(|(module, _)| module == AUDIT);
        Targets::new().with_target(AUDIT, own.map_or(base, |(_, level)| *level))
    }
}

impl Default for Level {
    fn default() -> Self {
        Level { text: "info".to_owned(), base: LevelFilter::INFO, modules: Vec::new() }
    }
}

/// The module of this kit that a module of the program stands for.
fn of_kit(module: &str, program: &str) -> Option<String> {
    let inside = module.strip_prefix(program).filter(|inside| inside.is_empty() || inside.starts_with("::"))?;
    Some(format!("ovstunnel_server{inside}"))
}

fn parse_level(word: &str) -> Option<LevelFilter> {
    match word {
        "off" => Some(LevelFilter::OFF),
        "error" => Some(LevelFilter::ERROR),
        "warn" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "debug" => Some(LevelFilter::DEBUG),
        "trace" => Some(LevelFilter::TRACE),
        _ => None,
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let level =
            parse_text(d, "a level, and after it levels of modules, such as \"info,ovstunnel_server=debug\"", |t| {
                Some((Level::parse(t), t.to_owned()))
            })?;
        level.0.ok_or_else(|| {
            let expected = format!("{LEVELS}, and after it, separated by commas, MODULE=LEVEL");
            D::Error::invalid_value(Unexpected::Str(&level.1), &expected.as_str())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn lets_through(level: &str, target: &str, at: tracing::Level) -> bool {
        Level::parse(level).unwrap().targets("ovstunneld").would_enable(target, &at)
    }

    #[test]
    fn a_bare_level_keeps_other_crates_quiet() {
        let level = "debug,hyper=trace";
        for target in ["ovstunneld::writer", "ovstunnel_server::listen", "ovstunnel_ovs::runner"] {
            assert!(lets_through(level, target, tracing::Level::DEBUG), "{target}");
        }
        assert!(!lets_through(level, "h2::codec", tracing::Level::INFO));
        assert!(lets_through(level, "h2::codec", tracing::Level::WARN));
        assert!(lets_through(level, "hyper::proto", tracing::Level::TRACE));
    }

    #[test]
    fn a_module_of_the_program_may_be_one_of_the_kit() {
        for level in ["info,ovstunneld::listen=debug", "info,ovstunneld=debug", "info,ovstunnel_server::listen=debug"] {
            assert!(lets_through(level, "ovstunnel_server::listen::https", tracing::Level::DEBUG), "{level}");
        }
        for level in ["info,ovstunneld::listen=debug", "info,ovstunneld_x=debug", "info,ovstunnel_ovs=debug"] {
            assert!(!lets_through(level, "ovstunnel_server::tls", tracing::Level::DEBUG), "{level}");
        }
    }

    #[test]
    fn who_did_what_is_logged_at_any_level_but_off_and_by_its_own() {
        let told = |level: &str| lets_through(level, AUDIT, tracing::Level::INFO);
        assert_eq!(
            ["error", "info", "debug", "off", "info,audit=off", "off,audit=info"].map(told),
            [true, true, true, false, false, true]
        );
    }
}
