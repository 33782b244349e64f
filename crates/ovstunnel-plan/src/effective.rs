//! The settings as one switch can honour them.
//!
//! What it does: keeps them apart, as a type of their own, from those of the configuration, so that flows are neither planned nor
//! judged by what the switch cannot do. What it must not do: find out what a switch can do.

use std::ops::Deref;

use crate::Settings;

/// What a switch can do of that which settings may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// It has OpenFlow meters, which limit the frames of a VIF.
    pub meters: bool,
}

impl Capabilities {
    /// Of a switch that can do everything.
    pub const ALL: Self = Capabilities { meters: true };
}

/// Settings as a switch can honour them: whatever it cannot do is left out. Where the configuration is asked for, they stand in
/// for [`Settings`]; the other way round they do not:
///
/// ```compile_fail,E0308
/// use ovstunnel_plan::{FlowsSeen, Settings, plan_bridge};
/// plan_bridge(None, None, &FlowsSeen::Unknown, &Settings::default());
/// ```
///
/// ```
/// use ovstunnel_plan::{Capabilities, EffectiveSettings, FlowsSeen, Settings, plan_bridge};
/// let settings = EffectiveSettings::for_switch(&Settings::default(), Capabilities::ALL);
/// plan_bridge(None, None, &FlowsSeen::Unknown, &settings);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectiveSettings(Settings);

impl EffectiveSettings {
    /// What is left of the configuration's settings on a switch that can do this.
    pub fn for_switch(settings: &Settings, capabilities: Capabilities) -> Self {
        let mut settings = settings.clone();
        if !capabilities.meters {
            settings.vif_broadcast_pps = 0;
        }
        EffectiveSettings(settings)
    }
}

impl Deref for EffectiveSettings {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_meters_there_is_no_limit_and_no_other_change() {
        let configured = Settings { vif_broadcast_pps: 50, ipv6_drop_opaque: true, ..Settings::default() };
        assert_eq!(*EffectiveSettings::for_switch(&configured, Capabilities::ALL), configured);
        let without = EffectiveSettings::for_switch(&configured, Capabilities { meters: false });
        assert_eq!(*without, Settings { vif_broadcast_pps: 0, ..configured });
    }
}
