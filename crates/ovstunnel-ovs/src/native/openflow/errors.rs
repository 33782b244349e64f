//! The switch's error messages in words like those that `ovs-ofctl` prints. Must not hide a number: whoever looks one up needs it.

use super::wire::Reader;

/// That a meter is there already.
pub(super) const METER_EXISTS: (u16, u16) = (12, 1);

const TYPES: [(u16, &str); 18] = [
    (0, "OFPET_HELLO_FAILED"),
    (1, "OFPET_BAD_REQUEST"),
    (2, "OFPET_BAD_ACTION"),
    (3, "OFPET_BAD_INSTRUCTION"),
    (4, "OFPET_BAD_MATCH"),
    (5, "OFPET_FLOW_MOD_FAILED"),
    (6, "OFPET_GROUP_MOD_FAILED"),
    (7, "OFPET_PORT_MOD_FAILED"),
    (8, "OFPET_TABLE_MOD_FAILED"),
    (9, "OFPET_QUEUE_OP_FAILED"),
    (10, "OFPET_SWITCH_CONFIG_FAILED"),
    (11, "OFPET_ROLE_REQUEST_FAILED"),
    (12, "OFPET_METER_MOD_FAILED"),
    (13, "OFPET_TABLE_FEATURES_FAILED"),
    (14, "OFPET_BAD_PROPERTY"),
    (16, "OFPET_FLOW_MONITOR_FAILED"),
    (17, "OFPET_BUNDLE_FAILED"),
    (0xffff, "OFPET_EXPERIMENTER"),
];

/// Codes that have been met, by the type's number.
const CODES: [((u16, u16), &str); 8] = [
    ((0, 0), "OFPHFC_INCOMPATIBLE"),
    ((5, 1), "OFPFMFC_TABLE_FULL"),
    ((5, 2), "OFPFMFC_BAD_TABLE_ID"),
    ((5, 4), "OFPFMFC_EPERM"),
    (METER_EXISTS, "OFPMMFC_METER_EXISTS"),
    ((12, 2), "OFPMMFC_INVALID_METER"),
    ((12, 10), "OFPMMFC_OUT_OF_METERS"),
    ((17, 13), "OFPBFC_MSG_FAILED"),
];

/// Type and code of an error message's body.
pub(super) fn error_numbers(body: &[u8]) -> Option<(u16, u16)> {
    let mut reader = Reader(body);
    Some((reader.u16()?, reader.u16()?))
}

/// An error message in words.
pub(super) fn error_message(body: &[u8]) -> String {
    let Some((kind, code)) = error_numbers(body) else { return "OFPT_ERROR without a type".to_owned() };
    let known = TYPES.iter().find(|(number, _)| *number == kind).map_or("unknown type", |(_, name)| name);
    let code_known = CODES.iter().find(|(number, _)| *number == (kind, code)).map(|(_, name)| format!(": {name}"));
    // Only the text of a greeting that failed is text; elsewhere the message that failed comes back.
    let text = body.get(4..).filter(|text| kind == 0 && !text.is_empty()).map(String::from_utf8_lossy);
    let text = text.map(|text| format!(": {}", text.trim_end_matches('\0'))).unwrap_or_default();
    format!("OFPT_ERROR (OF1.4): {known} ({kind}), code {code}{}{text}", code_known.unwrap_or_default())
}
