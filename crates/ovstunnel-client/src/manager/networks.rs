//! The manager's routes of networks, NICs, physical networks and keys. Must not do what the rest of the client must not either.

use http::Method;
use ovstunnel_manager_api::{
    HostAnswer, KeyList, KeyRanges, KeyRangesAnswer, NetworkAnswer, Nic, NicAnswer, NicList, NicReleased,
    PhysicalNetwork, PhysicalNetworkAnswer, PhysicalNetworkList, PutNetwork, PutNetworkKind, PutNic,
    PutPhysicalNetwork,
};

use super::Manager;
use crate::ClientError;
use crate::call::Call;

fn with_dry_run(call: Call, dry_run: bool) -> Call {
    if dry_run { call.dry_run() } else { call }
}

impl Manager {
    /// `PUT /v1/networks/{network}`: records it, or changes what is recorded of it.
    ///
    /// # Errors
    /// See [`ClientError`]; this holds for each request below.
    pub async fn put_network(
        &self,
        name: &str,
        body: &PutNetwork,
        dry_run: bool,
    ) -> Result<NetworkAnswer, ClientError> {
        let call = Call::new(Method::PUT, &["v1", "networks", Call::path_segment("network", name)?]).with_json(body)?;
        self.0.send_call(with_dry_run(call, dry_run)).await
    }

    /// `PUT /v1/networks/{network}/kind`: records of which kind its tunnels are to be; a manager that may act changes them, host by host.
    pub async fn put_network_kind(
        &self,
        name: &str,
        body: &PutNetworkKind,
        dry_run: bool,
    ) -> Result<NetworkAnswer, ClientError> {
        let path = ["v1", "networks", Call::path_segment("network", name)?, "kind"];
        self.0.send_call(with_dry_run(Call::new(Method::PUT, &path).with_json(body)?, dry_run)).await
    }

    /// `DELETE /v1/networks/{network}`: forgets it; nothing on any host is changed.
    pub async fn delete_network(&self, name: &str, dry_run: bool) -> Result<NetworkAnswer, ClientError> {
        let call = Call::new(Method::DELETE, &["v1", "networks", Call::path_segment("network", name)?]);
        self.0.send_call(with_dry_run(call, dry_run)).await
    }

    /// `DELETE /v1/hosts/{host}?wiped=true`: forgets a host that will not come back with anything of a network, so that released keys
    /// wait for it no longer.
    pub async fn delete_wiped_host(&self, name: &str, dry_run: bool) -> Result<HostAnswer, ClientError> {
        let query = [("wiped", Some("true".to_owned())), ("dry_run", dry_run.then(|| "true".to_owned()))];
        let call = Call::new(Method::DELETE, &["v1", "hosts", Call::path_segment("host", name)?]);
        self.0.send_call(call.with_query(&query)).await
    }

    /// `GET /v1/networks/{network}/nics`: all of them, one page after another.
    pub async fn nics(&self, network: &str) -> Result<NicList, ClientError> {
        let mut all = self.nic_page(network, None, None).await?;
        while let Some(after) = all.next.take() {
            let more = self.nic_page(network, None, Some(&after)).await?;
            all = NicList { nics: all.nics.into_iter().chain(more.nics).collect(), ..more };
        }
        Ok(all)
    }

    /// `GET /v1/networks/{network}/nics`: one page of them, of so many, after this id.
    pub async fn nic_page(
        &self,
        network: &str,
        limit: Option<u32>,
        after: Option<&str>,
    ) -> Result<NicList, ClientError> {
        let path = ["v1", "networks", Call::path_segment("network", network)?, "nics"];
        let limit = limit.map(|limit| limit.to_string());
        self.get(&path, &[("limit", limit), ("after", after.map(str::to_owned))]).await
    }

    /// `GET /v1/networks/{network}/nics/{nic}`.
    pub async fn nic(&self, network: &str, nic: &str) -> Result<Nic, ClientError> {
        self.get(
            &["v1", "networks", Call::path_segment("network", network)?, "nics", Call::path_segment("nic", nic)?],
            &[],
        )
        .await
    }

    /// `PUT /v1/networks/{network}/nics/{nic}`: prepares it on a host.
    pub async fn prepare_nic(
        &self,
        network: &str,
        nic: &str,
        body: &PutNic,
        dry_run: bool,
    ) -> Result<NicAnswer, ClientError> {
        let path = ["v1", "networks", Call::path_segment("network", network)?, "nics", Call::path_segment("nic", nic)?];
        self.0.send_call(with_dry_run(Call::new(Method::PUT, &path).with_json(body)?, dry_run)).await
    }

    /// `DELETE /v1/networks/{network}/nics/{nic}`: releases it, of one host or of all.
    pub async fn release_nic(
        &self,
        network: &str,
        nic: &str,
        host: Option<&str>,
        dry_run: bool,
    ) -> Result<NicReleased, ClientError> {
        let path = ["v1", "networks", Call::path_segment("network", network)?, "nics", Call::path_segment("nic", nic)?];
        let query = [("host", host.map(str::to_owned)), ("dry_run", dry_run.then(|| "true".to_owned()))];
        self.0.send_call(Call::new(Method::DELETE, &path).with_query(&query)).await
    }

    /// `POST /v1/networks/{network}/nics/{nic}/migrated`: the migration has ended well.
    pub async fn nic_migrated(&self, network: &str, nic: &str, dry_run: bool) -> Result<NicReleased, ClientError> {
        self.end_migration(network, nic, "migrated", dry_run).await
    }

    /// `POST /v1/networks/{network}/nics/{nic}/rollback`: the migration was given up.
    pub async fn roll_back_nic(&self, network: &str, nic: &str, dry_run: bool) -> Result<NicReleased, ClientError> {
        self.end_migration(network, nic, "rollback", dry_run).await
    }

    async fn end_migration(
        &self,
        network: &str,
        nic: &str,
        how: &str,
        dry_run: bool,
    ) -> Result<NicReleased, ClientError> {
        let path =
            ["v1", "networks", Call::path_segment("network", network)?, "nics", Call::path_segment("nic", nic)?, how];
        self.0.send_call(with_dry_run(Call::new(Method::POST, &path), dry_run)).await
    }

    /// `GET /v1/physical-networks`.
    pub async fn physical_networks(&self) -> Result<PhysicalNetworkList, ClientError> {
        self.get(&["v1", "physical-networks"], &[]).await
    }

    /// `GET /v1/physical-networks/{physical_network}`.
    pub async fn physical_network(&self, name: &str) -> Result<PhysicalNetwork, ClientError> {
        self.get(&["v1", "physical-networks", Call::path_segment("physical_network", name)?], &[]).await
    }

    /// `PUT /v1/physical-networks/{physical_network}`: records it, or changes what is recorded of it.
    pub async fn put_physical_network(
        &self,
        name: &str,
        body: &PutPhysicalNetwork,
        dry_run: bool,
    ) -> Result<PhysicalNetworkAnswer, ClientError> {
        let path = ["v1", "physical-networks", Call::path_segment("physical_network", name)?];
        self.0.send_call(with_dry_run(Call::new(Method::PUT, &path).with_json(body)?, dry_run)).await
    }

    /// `DELETE /v1/physical-networks/{physical_network}`: forgets it.
    pub async fn delete_physical_network(
        &self,
        name: &str,
        dry_run: bool,
    ) -> Result<PhysicalNetworkAnswer, ClientError> {
        let path = ["v1", "physical-networks", Call::path_segment("physical_network", name)?];
        self.0.send_call(with_dry_run(Call::new(Method::DELETE, &path), dry_run)).await
    }

    /// `GET /v1/keys`: the keys that cannot be given, those in one of these states where any are named; one page after another.
    pub async fn keys(&self, states: &[String]) -> Result<KeyList, ClientError> {
        let mut all = self.key_page(states, None, None).await?;
        while let Some(after) = all.next.take() {
            let more = self.key_page(states, None, Some(after)).await?;
            all = KeyList { keys: all.keys.into_iter().chain(more.keys).collect(), ..more };
        }
        Ok(all)
    }

    /// `GET /v1/keys`: one page of them, of so many, after this key.
    pub async fn key_page(
        &self,
        states: &[String],
        limit: Option<u32>,
        after: Option<u32>,
    ) -> Result<KeyList, ClientError> {
        let states = Some(states.join(",")).filter(|states| !states.is_empty());
        let text = |number: Option<u32>| number.map(|number| number.to_string());
        self.get(&["v1", "keys"], &[("state", states), ("limit", text(limit)), ("after", text(after))]).await
    }

    /// `GET /v1/keys/ranges`.
    pub async fn key_ranges(&self) -> Result<KeyRanges, ClientError> {
        self.get(&["v1", "keys", "ranges"], &[]).await
    }

    /// `PUT /v1/keys/ranges`: the ranges of the physical networks that are named.
    pub async fn put_key_ranges(&self, body: &KeyRanges, dry_run: bool) -> Result<KeyRangesAnswer, ClientError> {
        self.0
            .send_call(with_dry_run(Call::new(Method::PUT, &["v1", "keys", "ranges"]).with_json(body)?, dry_run))
            .await
    }
}
