//! An emulated tenant of three users, and clients that prove themselves to it one way or another.

use rollcall_ambient::Ambient;
use rollcall_core::user::AttributeMap;
use rollcall_graph::{Credential, GraphClient, GraphConfig};
use rollcall_graph_emulator::{Emulator, Population, Tenant, TenantSpec};

pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) tenant: Tenant,
}

impl World {
    pub(crate) async fn start() -> Self {
        let emulator = Emulator::start(Ambient::system()).await.unwrap();
        let population = Population::new("contoso.com", 7, 3);
        let tenant = emulator.graph().add_tenant(TenantSpec::new(population));
        Self { emulator, tenant }
    }

    /// A client that tries a request for so long, in milliseconds.
    pub(crate) fn client_with(
        &self,
        credential: Credential,
        retry_ms_max: u64,
        ambient: Ambient,
    ) -> GraphClient {
        let root: url::Url = self.emulator.origin().parse().unwrap();
        let config = GraphConfig {
            graph_root: root.clone(),
            login_root: root,
            directory_id: self.tenant.directory_id().to_string(),
            client_id: self.tenant.client_id().to_string(),
            credential,
            attributes: AttributeMap::new(),
            retry_ms_max,
            request_ms_max: 1_000,
            requests_max: 100_000,
            run: None,
        };
        GraphClient::new(config, ambient).unwrap()
    }
}
