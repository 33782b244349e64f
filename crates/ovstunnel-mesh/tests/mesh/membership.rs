//! The table of what witnesses say and what follows, each row; ages; lingering; and what facts make witnesses say.

use std::time::Duration;

use ovstunnel_mesh::Moment;
use ovstunnel_mesh::membership::{
    Attachment, Because, BridgeSeen, Call, LastCall, Rules, Says, Testimony, Witness, by_api, by_bridges,
    by_cloudstack, by_vifs, contradicting, judge_attachment,
};
use proptest::prelude::*;

/// What follows for a host that was out, and for one that was in, once it has lingered.
const TABLE: &str = "
    api     bridges vifs    | out     in
    in      in      in      | joins   stays
    in      in      out     | joins   stays
    in      in      unknown | joins   stays
    in      out     in      | joins   stays
    in      out     out     | joins   stays
    in      out     unknown | joins   stays
    in      unknown in      | joins   stays
    in      unknown out     | joins   stays
    in      unknown unknown | joins   stays
    out     in      in      | joins   stays
    out     in      out     | joins   stays
    out     in      unknown | joins   stays
    out     out     in      | joins   stays
    out     out     out     | nothing leaves
    out     out     unknown | nothing leaves
    out     unknown in      | joins   stays
    out     unknown out     | nothing leaves
    out     unknown unknown | nothing leaves
    unknown in      in      | joins   stays
    unknown in      out     | joins   stays
    unknown in      unknown | joins   stays
    unknown out     in      | joins   stays
    unknown out     out     | nothing leaves
    unknown out     unknown | nothing leaves
    unknown unknown in      | joins   stays
    unknown unknown out     | nothing leaves
    unknown unknown unknown | nothing stays
";

const WITNESSES: [Witness; 3] = [Witness::Api, Witness::Bridges, Witness::Vifs];

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn word(text: &str) -> Says {
    match text {
        "in" => Says::In,
        "out" => Says::Out,
        "unknown" => Says::Unknown,
        _ => panic!("{text}"),
    }
}

fn says(words: [Says; 3], as_of: Moment) -> Vec<Testimony> {
    let each = WITNESSES.into_iter().zip(words);
    each.map(|(witness, says)| Testimony { witness, says, since: at(0), as_of }).collect()
}

/// What is judged after these words have stood for longer than the lingering.
fn after_lingering(before: Attachment, words: [Says; 3], rules: &Rules) -> Attachment {
    let first = judge_attachment(before, &says(words, at(1000)), rules, at(1000));
    judge_attachment(first.attachment, &says(words, at(1030)), rules, at(1030)).attachment
}

#[test]
fn each_row_of_the_table() {
    let rules = Rules::default();
    let rows: Vec<&str> = TABLE.lines().filter(|line| line.contains('|')).skip(1).collect();
    assert_eq!(rows.len(), 27);
    for row in rows {
        let parts: Vec<&str> = row.split_whitespace().collect();
        let [api, bridges, vifs, _, was_out, was_in] = parts[..] else { panic!("{row}") };
        let words = [word(api), word(bridges), word(vifs)];
        let joins = after_lingering(Attachment::Out, words, &rules).is_in_mesh();
        assert_eq!(if joins { "joins" } else { "nothing" }, was_out, "{row}");
        let stays = after_lingering(Attachment::In, words, &rules).is_in_mesh();
        assert_eq!(if stays { "stays" } else { "leaves" }, was_in, "{row}");
    }
}

#[test]
fn a_witness_that_is_not_configured_is_not_heard() {
    let rules = Rules { witnesses: [Witness::Bridges, Witness::Vifs].into(), ..Rules::default() };
    let only_api_in = [Says::In, Says::Out, Says::Out];
    assert_eq!(after_lingering(Attachment::Out, only_api_in, &rules), Attachment::Out);
    let only_api_out = [Says::Out, Says::Unknown, Says::Unknown];
    assert_eq!(after_lingering(Attachment::In, only_api_out, &rules), Attachment::In, "nobody who is heard says so");
}

#[test]
fn a_silent_host_leaves_only_by_the_api_once_dead() {
    let hosts_only = Rules { witnesses: [Witness::Bridges, Witness::Vifs].into(), ..Rules::default() };
    for last_words in [Says::In, Says::Out, Says::Unknown] {
        let silent = |now: u64, attachment| {
            let mut said = says([Says::Out, last_words, last_words], at(100));
            said[0].as_of = at(now);
            (
                judge_attachment(attachment, &said, &hosts_only, at(now)),
                judge_attachment(attachment, &said, &Rules::default(), at(now)),
            )
        };
        for now in [111, 500, 10_000, 1_000_000] {
            let (judged, _) = silent(now, Attachment::In);
            assert!(judged.attachment.is_in_mesh(), "{last_words:?} at {now}");
        }
        // With the API's word against it: an old *in* holds until the host is taken for dead.
        let (_, judged) = silent(700, Attachment::In);
        assert_eq!(judged.attachment == Attachment::In, last_words == Says::In);
        let (_, judged) = silent(701, Attachment::In);
        assert_eq!(judged.attachment, Attachment::Lingering { since: at(701) });
        let (_, judged) = silent(731, judged.attachment);
        assert_eq!((judged.attachment, judged.because), (Attachment::Out, Because::SaidOut(Witness::Api)));
    }
}

#[test]
fn lingering_begins_with_the_last_out_and_ends_by_doubt() {
    let rules = Rules::default();
    let (all_out, none) = ([Says::Out; 3], [Says::Unknown; 3]);
    let mut judged = judge_attachment(Attachment::In, &says(all_out, at(100)), &rules, at(100));
    assert_eq!((judged.attachment, judged.again_at), (Attachment::Lingering { since: at(100) }, Some(at(130))));
    judged = judge_attachment(judged.attachment, &says(all_out, at(129)), &rules, at(129));
    assert!(judged.attachment.is_in_mesh());
    // A VM starts in the last second, and stops again: the time begins anew.
    judged = judge_attachment(judged.attachment, &says([Says::Out, Says::Out, Says::In], at(129)), &rules, at(129));
    assert_eq!((judged.attachment, judged.because), (Attachment::In, Because::SaidIn(Witness::Vifs)));
    judged = judge_attachment(judged.attachment, &says(all_out, at(130)), &rules, at(130));
    // Nobody can tell any more.
    judged = judge_attachment(judged.attachment, &says(none, at(160)), &rules, at(160));
    assert_eq!((judged.attachment, judged.because, judged.again_at), (Attachment::In, Because::NobodyKnows, None));
    judged = judge_attachment(judged.attachment, &says(all_out, at(200)), &rules, at(200));
    judged = judge_attachment(judged.attachment, &says(all_out, at(230)), &rules, at(230));
    assert_eq!(judged.attachment, Attachment::Out);
}

#[test]
fn an_out_counts_while_it_is_fresh() {
    let rules = Rules::default();
    let judged =
        |now| judge_attachment(Attachment::Lingering { since: at(0) }, &says([Says::Out; 3], at(100)), &rules, at(now));
    assert_eq!(judged(110).attachment, Attachment::Out);
    assert_eq!(judged(111).attachment, Attachment::In);
}

#[test]
fn a_disagreement_is_shown_after_a_minute() {
    let rules = Rules::default();
    let mut said = says([Says::In, Says::Out, Says::Unknown], at(100));
    said[1].since = at(40);
    assert_eq!(judge_attachment(Attachment::In, &said, &rules, at(100)).disagree_since, None);
    assert_eq!(judge_attachment(Attachment::In, &said, &rules, at(101)).disagree_since, Some(at(40)));
    assert_eq!(judge_attachment(Attachment::In, &said[..1], &rules, at(101)).disagree_since, None);
}

#[test]
fn what_is_remembered_of_nothing_is_what_is_seen() {
    assert_eq!(Attachment::from_sight(true), Attachment::In);
    assert_eq!(Attachment::from_sight(false), Attachment::Out);
}

#[test]
fn what_facts_make_witnesses_say() {
    let there = |vifs| BridgeSeen::There { vifs, live: vifs };
    let last = |call| Some(LastCall { call, at: at(100) });
    assert_eq!(by_api(0, false, at(0), at(1)).says, Says::Unknown);
    assert_eq!(by_api(0, true, at(0), at(1)).says, Says::Out);
    assert_eq!(by_api(2, true, at(0), at(1)).says, Says::In);
    let rows = [
        (None, there(0), Says::Unknown, Says::Out),
        (None, there(3), Says::Unknown, Says::In),
        (None, BridgeSeen::Gone, Says::Unknown, Says::Unknown),
        (last(Call::SetUp), there(0), Says::In, Says::Out),
        (last(Call::SetUp), BridgeSeen::Gone, Says::Unknown, Says::Unknown),
        (last(Call::Destroy), there(1), Says::Out, Says::In),
        (last(Call::Destroy), BridgeSeen::Gone, Says::Out, Says::Out),
        (last(Call::CreateTunnel), there(0), Says::In, Says::Out),
        (last(Call::CreateTunnel), BridgeSeen::Gone, Says::In, Says::Unknown),
    ];
    for (call, bridge, bridges, vifs) in rows {
        assert_eq!(by_bridges(call, bridge, at(120)).says, bridges, "{call:?} {bridge:?}");
        assert_eq!(by_vifs(bridge, call, at(0), at(120)).says, vifs, "{call:?} {bridge:?}");
    }
    assert_eq!(by_bridges(last(Call::CreateTunnel), there(0), at(160)).says, Says::Unknown, "it lasts for 60 s");
    assert_eq!(by_bridges(last(Call::SetUp), there(0), at(100_000)).says, Says::In);
}

fn any_word() -> impl Strategy<Value = Says> {
    prop::sample::select(vec![Says::In, Says::Out, Says::Unknown])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Over any history: a host leaves only if no witness has said *in* for as long as the lingering, and a fresh *out* is there.
    #[test]
    fn nobody_leaves_before_all_have_let_go_for_long_enough(
        history in prop::collection::vec((1..25u64, [any_word(), any_word(), any_word()], 0..30u64), 1..40)
    ) {
        let rules = Rules::default();
        let (mut now, mut last_in, mut attachment) = (1000, 1000, Attachment::In);
        for (step, words, age) in history {
            now += step;
            let said = says(words, at(now - age));
            let judged = judge_attachment(attachment, &said, &rules, at(now));
            if words.contains(&Says::In) {
                last_in = now;
                prop_assert!(judged.attachment.is_in_mesh());
            }
            if attachment.is_in_mesh() && !judged.attachment.is_in_mesh() {
                prop_assert!(now - last_in >= 30, "it had a VM {} s ago", now - last_in);
                prop_assert!(words.contains(&Says::Out) && age <= 10);
            }
            if !attachment.is_in_mesh() && judged.attachment.is_in_mesh() {
                prop_assert!(words.contains(&Says::In));
            }
            attachment = judged.attachment;
        }
    }
}

#[test]
fn cloudstack_says_out_only_where_no_vm_of_the_network_moves() {
    let says = |vms, is_moving| by_cloudstack(vms, is_moving, at(0), at(0)).says;
    assert_eq!([says(1, false), says(1, true)], [Says::In, Says::In]);
    assert_eq!([says(0, false), says(0, true)], [Says::Out, Says::Unknown]);
}

#[test]
fn cloudstacks_word_counts_until_two_readings_have_failed() {
    let rules = Rules { witnesses: [Witness::CloudStack, Witness::Vifs].into(), ..Rules::default() };
    let out = by_cloudstack(0, false, at(0), at(1000));
    let leaves = |now| judge_attachment(Attachment::In, &[out], &rules, at(now)).attachment != Attachment::In;
    assert_eq!([1000, 1150, 1151].map(leaves), [true, true, false]);
    // Who is not heard contradicts nobody.
    let by_vif = Testimony { witness: Witness::Vifs, says: Says::In, since: at(0), as_of: at(1000) };
    assert_eq!(contradicting(&[out, by_vif], &rules, at(1001)), [out, by_vif]);
    assert_eq!(contradicting(&[out, by_vif], &Rules::default(), at(1001)), []);
    assert_eq!(contradicting(&[out], &rules, at(1001)), []);
}
