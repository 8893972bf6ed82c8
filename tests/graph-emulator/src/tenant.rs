//! A tenant: its directory, its application's credential, and how its service behaves.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use rollcall_ambient::Ambient;
use uuid::Uuid;

use crate::answer::GraphError;
use crate::assertion::{FederatedCredential, Registered, Trusted};
use crate::delta::{DELTA_LIFE_MS, DeltaTokens};
use crate::directory::Directory;
use crate::lists::Cursors;
use crate::people::{Population, random_uuid};
use crate::throttle::Bucket;

/// How long a bearer lives, in seconds: Entra draws between 60 and 90 minutes.
/// Source: "Access tokens in the Microsoft identity platform", section "Token lifetime".
pub const TOKEN_LIFE_S: RangeInclusive<u64> = 3_600..=5_400;

/// A tenant to be made.
#[derive(Clone)]
pub struct TenantSpec {
    /// The directory id.
    pub directory_id: Uuid,
    /// The client id of the one application that is registered.
    pub client_id: Uuid,
    /// Its secret.
    pub client_secret: String,
    /// Who is in the directory.
    pub population: Population,
    /// How lists are paged.
    pub paging: Paging,
    /// How long bearers live, in seconds, at least and at most.
    pub token_life_s: RangeInclusive<u64>,
}

impl fmt::Debug for TenantSpec {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantSpec")
            .field("directory_id", &self.directory_id)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl TenantSpec {
    /// A tenant whose ids and secret come from the population's seed.
    #[must_use]
    pub fn new(population: Population) -> Self {
        let mut rng = Rng::with_seed(population.seed);
        Self {
            directory_id: random_uuid(&mut rng),
            client_id: random_uuid(&mut rng),
            // Secrets have characters that a form has to escape.
            client_secret: format!("{:x}~Q+&={:x}", rng.u64(..), rng.u64(..)),
            population,
            paging: Paging::default(),
            token_life_s: TOKEN_LIFE_S,
        }
    }
}

/// How lists are paged. The default is what Graph does on a good day. Page numbers count from 1, and
/// "every n" means the pages n, 2n, 3n: n is at least 2, less has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// The most that the server puts on a page, whatever `$top` says.
    pub page_size_max: usize,
    /// Every so many pages one is empty and has a next link.
    pub empty_every: Option<u32>,
    /// Every so many pages one is shorter than it could be.
    pub short_every: Option<u32>,
    /// Every so many pages one begins with the last user of the page before.
    pub repeat_every: Option<u32>,
    /// How long a page token is good, in milliseconds.
    pub token_life_ms: Option<u64>,
    /// How often a page token can be used. With 0 it is dead at once.
    pub token_uses: Option<u32>,
    /// Whether there are deltas. Tenants of Azure AD B2C and External ID have none.
    pub has_delta: bool,
    /// The most users on a page of a delta, where `$top` has no say.
    pub delta_page_size_max: usize,
    /// Whether a delta tells of a user only what changed. Otherwise it tells all that was selected.
    pub delta_sparse: bool,
    /// Whether a page of a delta is in any order, with some users in it twice or in two parts.
    pub delta_disorder: bool,
    /// How long a delta token is good, in milliseconds.
    pub delta_life_ms: u64,
}

impl Default for Paging {
    fn default() -> Self {
        Self {
            page_size_max: 999,
            empty_every: None,
            short_every: None,
            repeat_every: None,
            token_life_ms: None,
            token_uses: None,
            has_delta: true,
            delta_page_size_max: 200,
            delta_sparse: false,
            delta_disorder: false,
            delta_life_ms: DELTA_LIFE_MS,
        }
    }
}

/// A tenant of a running emulator. Cheap to clone; all clones are the same tenant.
#[derive(Clone)]
pub struct Tenant(Arc<Inner>);

struct Inner {
    directory_id: Uuid,
    client_id: Uuid,
    client_secret: String,
    directory: Mutex<Directory>,
    cursors: Mutex<Cursors>,
    delta_tokens: Mutex<DeltaTokens>,
    bucket: Mutex<Bucket>,
    settings: Mutex<Settings>,
}

#[derive(Debug, Clone)]
struct Settings {
    paging: Paging,
    trusted: Trusted,
    token_life_s: RangeInclusive<u64>,
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("directory_id", &self.0.directory_id)
            .finish_non_exhaustive()
    }
}

impl Tenant {
    pub(crate) fn new(ambient: Ambient, spec: TenantSpec) -> Self {
        Self(Arc::new(Inner {
            directory_id: spec.directory_id,
            client_id: spec.client_id,
            client_secret: spec.client_secret,
            directory: Mutex::new(Directory::new(ambient, spec.population)),
            cursors: Mutex::new(Cursors::new()),
            delta_tokens: Mutex::new(DeltaTokens::new()),
            bucket: Mutex::default(),
            settings: Mutex::new(Settings {
                paging: spec.paging,
                trusted: Trusted::default(),
                token_life_s: spec.token_life_s,
            }),
        }))
    }

    /// The directory id.
    #[must_use]
    pub fn directory_id(&self) -> Uuid {
        self.0.directory_id
    }

    /// The client id of the application.
    #[must_use]
    pub fn client_id(&self) -> Uuid {
        self.0.client_id
    }

    /// The application's secret.
    #[must_use]
    pub fn client_secret(&self) -> &str {
        &self.0.client_secret
    }

    /// The directory, locked: to read the truth, and to change it. No request of the tenant is
    /// answered while the lock is held.
    pub fn directory(&self) -> MutexGuard<'_, Directory> {
        lock(&self.0.directory)
    }

    /// How lists are paged now.
    #[must_use]
    pub fn paging(&self) -> Paging {
        lock(&self.0.settings).paging.clone()
    }

    /// Pages lists differently from now on.
    pub fn set_paging(&self, paging: Paging) {
        lock(&self.0.settings).paging = paging;
    }

    /// Lets the bearers that are issued from now on live so many seconds, at least and at most.
    pub fn set_token_life_s(&self, seconds: RangeInclusive<u64>) {
        lock(&self.0.settings).token_life_s = seconds;
    }

    /// How many resource units the application has in ten seconds, in place of what the service gives
    /// for a directory of its size.
    pub fn set_units_max(&self, units: u32) {
        lock(&self.0.bucket).units_max = Some(units);
    }

    /// Takes units for a request. Gives the 429 if there were not enough, and which share is used, from
    /// where on that is told.
    pub(crate) fn charge(&self, units: u32, now_ms: u64) -> (Option<GraphError>, Option<f64>) {
        let users = self.directory().len();
        lock(&self.0.bucket).charge(users, units, now_ms)
    }

    /// Registers a certificate with the application, in DER, in place of an earlier one. Gives whether
    /// it is one.
    pub fn upload_certificate(&self, der: &[u8]) -> bool {
        let registered = Registered::from_der(der);
        let is_one = registered.is_some();
        lock(&self.0.settings).trusted.certificate = registered;
        is_one
    }

    /// Lets the application take another issuer's word, in place of an earlier one's.
    pub fn trust(&self, credential: FederatedCredential) {
        lock(&self.0.settings).trusted.federated = Some(credential);
    }

    pub(crate) fn trusted(&self) -> Trusted {
        lock(&self.0.settings).trusted.clone()
    }

    pub(crate) fn token_life_s(&self) -> RangeInclusive<u64> {
        lock(&self.0.settings).token_life_s.clone()
    }

    pub(crate) fn delta_tokens(&self) -> MutexGuard<'_, DeltaTokens> {
        lock(&self.0.delta_tokens)
    }

    pub(crate) fn cursors(&self) -> MutexGuard<'_, Cursors> {
        lock(&self.0.cursors)
    }
}

/// A lock whose holder panicked is taken all the same: what it guards is sound between any two
/// statements, and a failed test has told its story already.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
