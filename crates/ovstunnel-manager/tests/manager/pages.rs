//! Lists of the manager that have pages: NICs, keys, events.

use crate::common::{bench, code, physical, put};
use ovstunnel_api::Code;
use ovstunnel_client::EventsWanted;
use ovstunnel_manager_api::{Isolation, PutNetwork, PutNic};

fn network(key: Option<u32>) -> PutNetwork {
    PutNetwork { physical_network: "p1".into(), number: None, key, adopt: false, ipv6: None, mtu: None }
}

fn nic(host: &str) -> PutNic {
    PutNic { host: host.into(), vm: None, mac: None, ip: None, bridge: None, wait: None, how: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn nics_keys_and_events_are_had_page_by_page() {
    let bench = bench().await;
    let m = &bench.manager;
    m.put_physical_network("p1", &physical(Isolation::Gre, "1001-1010"), false).await.unwrap();
    m.put_host("h1", &put("https://127.0.0.1:1", Some(1)), false).await.unwrap();
    for name in ["n1", "n2", "n3"] {
        m.put_network(name, &network(None), false).await.unwrap();
    }
    for (network, id) in [("n1", "a"), ("n1", "b"), ("n1", "c"), ("n2", "a"), ("n3", "a")] {
        m.prepare_nic(network, id, &nic("h1"), false).await.unwrap();
    }
    let nics = async |limit, after| {
        let page = m.nic_page("n1", limit, after).await.unwrap();
        assert_eq!(page.total, 3);
        (page.nics.into_iter().map(|nic| nic.id).collect::<Vec<_>>().concat(), page.next)
    };
    assert_eq!(nics(Some(2), None).await, ("ab".into(), Some("b".into())));
    assert_eq!(nics(Some(2), Some("b")).await, ("c".into(), None));
    assert_eq!(nics(Some(3), None).await, ("abc".into(), None));
    assert_eq!(nics(None, Some("aa")).await, ("bc".into(), None), "after an id that none has");
    let detail = code(m.nic_page("n1", Some(1001), None).await, Code::InvalidRequest);
    assert!(detail.contains("limit") && detail.contains("from 1 to 1000"), "{detail}");
    let detail = code(m.nic_page("n1", None, Some("-x")).await, Code::InvalidRequest);
    assert!(detail.starts_with("after must be 1 to 63 characters"), "{detail}");

    // Keys that are taken, with the hosts not being asked: a network gets one with its first NIC only where the controller is on.
    for (name, key) in [("k1", 1001), ("k2", 1002), ("k3", 1003)] {
        m.put_network(name, &network(Some(key)), false).await.unwrap();
    }
    let keys = async |limit, after| {
        let page = m.key_page(&[], limit, after).await.unwrap();
        (page.keys.into_iter().map(|key| key.key).collect::<Vec<_>>(), page.next, page.physical_networks.len())
    };
    assert_eq!(keys(Some(2), None).await, (vec![1001, 1002], Some(1002), 1));
    assert_eq!(keys(Some(2), Some(1002)).await, (vec![1003], None, 1));
    assert_eq!(m.keys(&[]).await.unwrap().keys.len(), 3);

    let before = m.events(&EventsWanted { limit: Some(1), ..Default::default() }).await.unwrap();
    let since = async |since: &str| m.events(&EventsWanted { since: Some(since.into()), ..Default::default() }).await;
    let newest = &before.events[0];
    assert!(since(&newest.at).await.unwrap().events.contains(newest), "the event of that very time");
    assert_eq!(since("2999-01-01T00:00:00Z").await.unwrap().events, []);
    let detail = code(since("yesterday").await, Code::InvalidRequest);
    assert!(detail.starts_with("since must be a time by RFC 3339"), "{detail}");
}
