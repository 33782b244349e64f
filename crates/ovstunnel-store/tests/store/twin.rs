//! The database in memory does what every kind of database must do.

use crate::contract;

use ovstunnel_store::{MemoryStore, Store, StoreError, Zone};

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract::all(|| async { (Store::in_memory("dc1"), ()) }).await;
}

#[tokio::test]
async fn it_can_be_away_and_come_back() {
    let zone = Zone { name: "dc1".into(), uuid: uuid::Uuid::nil() };
    let memory = std::sync::Arc::new(MemoryStore::new(zone, || 5));
    let store = Store::Memory(memory.clone());
    memory.set_away(Some("the test said so"));
    let error = store.put_host(&contract::host("h1")).await.unwrap_err();
    assert_eq!(error, StoreError::Unavailable { reason: "the test said so".into() });
    memory.set_away(None);
    assert_eq!(store.hosts().await.unwrap(), []);
    assert_eq!(store.take_lease("m1", 10, 0).await.unwrap().until, 15);
}
