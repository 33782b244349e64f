//! Events.

use ovstunnel_store::{EventFilter, NewEvent, Store};

pub fn event(at: i64, kind: &str, host: &str) -> NewEvent {
    NewEvent { at, kind: kind.into(), host: Some(host.into()), text: format!("{kind} at {at}"), ..NewEvent::default() }
}

pub async fn are_paged_newest_first(store: &Store) {
    assert_eq!(store.events(&EventFilter::default(), None, 10).await.unwrap(), Default::default());
    assert_eq!(store.append_events(&[]).await, Ok(vec![]));
    let full = NewEvent {
        at: -1,
        kind: "network.changed".into(),
        host: Some("h1".into()),
        network: Some("n1".into()),
        actor: Some("admin ä".into()),
        request_id: Some("r-1".into()),
        before: Some("{\"mtu\":1400}".into()),
        after: Some("x".repeat(16383)),
        text: "MTU is 1450".into(),
    };
    assert_eq!(store.append_event(full.clone()).await, Ok(1));
    let more: Vec<NewEvent> = (2..=1205).map(|n| event(n, "host", "h")).collect();
    assert_eq!(store.append_events(&more).await, Ok((2..=1205).collect()));

    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.events(&EventFilter::default(), cursor, 500).await.unwrap();
        assert!(page.events.len() <= 500);
        seen.extend(page.events);
        cursor = page.next;
        // What comes meanwhile is not on older pages.
        store.append_event(event(0, "late", "h")).await.unwrap();
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.iter().map(|row| row.id).collect::<Vec<_>>(), (1..=1205).rev().collect::<Vec<_>>());
    assert_eq!(seen.last().unwrap().event, full);
    // The page is bounded, whatever is asked for.
    assert_eq!(store.events(&EventFilter::default(), None, u32::MAX).await.unwrap().events.len(), 1000);
    assert_eq!(store.events(&EventFilter::default(), None, 0).await.unwrap().events.len(), 1);
    let exactly = store.events(&EventFilter::default(), Some(3), 2).await.unwrap();
    assert_eq!((exactly.events.len(), exactly.next), (2, None));
}

pub async fn are_filtered(store: &Store) {
    let with = |at, kind: &str, host: &str, actor: Option<&str>, network: Option<&str>| NewEvent {
        actor: actor.map(str::to_owned),
        network: network.map(str::to_owned),
        ..event(at, kind, host)
    };
    let events = [
        with(10, "host_silent", "h1", None, None),
        with(20, "host_silent", "h2", Some("eve"), Some("n1")),
        with(30, "host_back", "h1", Some("eve"), None),
        with(40, "host_silent", "h1", None, Some("n1")),
    ];
    store.append_events(&events).await.unwrap();
    let some = |text: &str| Some(text.to_owned());
    let none = EventFilter::default();
    let asked = [
        (EventFilter { kind: some("host_silent"), ..none.clone() }, vec![4, 2, 1]),
        (EventFilter { host: some("h1"), ..none.clone() }, vec![4, 3, 1]),
        (EventFilter { host: some("H1"), ..none.clone() }, vec![]),
        (EventFilter { network: some("n1"), ..none.clone() }, vec![4, 2]),
        (EventFilter { actor: some("eve"), ..none.clone() }, vec![3, 2]),
        (EventFilter { since: Some(20), until: Some(40), ..none.clone() }, vec![3, 2]),
        (EventFilter { kind: some("host_silent"), host: some("h1"), since: Some(11), ..none }, vec![4]),
    ];
    for (filter, ids) in asked {
        let page = store.events(&filter, None, 10).await.unwrap();
        assert_eq!(page.events.iter().map(|row| row.id).collect::<Vec<_>>(), ids, "{filter:?}");
    }
    let too_long = NewEvent { after: Some("x".repeat(16384)), ..event(50, "k", "h") };
    let error = store.append_events(&[event(50, "k", "h"), too_long]).await.unwrap_err().to_string();
    assert!(error.starts_with("event.before or after must have at most 16383 characters"), "{error}");
    assert_eq!(store.events(&EventFilter::default(), None, 10).await.unwrap().events.len(), 4);
}

pub async fn are_purged_and_their_ids_are_not_given_again(store: &Store) {
    let events: Vec<NewEvent> = (0..7000).map(|n| event(n, "k", "h")).collect();
    store.append_events(&events).await.unwrap();
    assert_eq!(store.cut_events(7000).await, Ok(0));
    assert_eq!(store.cut_events(1000).await, Ok(6000));
    assert_eq!(store.purge_events(6999).await, Ok(999));
    let left = store.events(&EventFilter::default(), None, 10).await.unwrap();
    assert_eq!(left.events.iter().map(|row| row.event.at).collect::<Vec<_>>(), [6999]);
    assert_eq!(store.cut_events(1).await, Ok(0), "the newest stays");
    assert_eq!(store.purge_events(i64::MAX).await, Ok(1));
    assert_eq!(store.purge_events(i64::MAX).await, Ok(0));
    assert_eq!(store.cut_events(1).await, Ok(0), "there is none");
    assert_eq!(store.append_event(event(0, "k", "h")).await, Ok(7001));
}
