//! The process is killed at random moments of a sync and started again each time. The result is the
//! same as without, user by user.

#![expect(
    clippy::unwrap_used,
    reason = "what helpers of tests cannot do fails the test"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rollcall_ambient::Ambient;
use rollcall_graph_emulator::{Emulator, Paging, Population, Tenant, TenantSpec};
use serde_json::Value;

const USERS: usize = 5_000;
/// How often the process is killed in each of the two syncs.
const KILLS: u32 = 25;
/// A kill comes at most so long after the start: about as long as it takes until the lease of the
/// one before has lapsed, and half the work on top.
const KILL_AFTER_MS_MAX: u64 = 1_600;
const SECRET: &str = "KILL_TEST_SECRET";

struct Rig {
    emulator: Emulator,
    tenant: Tenant,
    ambient: Ambient,
    root: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let ambient = Ambient::system();
        let emulator = Emulator::start(ambient.clone()).await.unwrap();
        let population = Population {
            guests: 0.0,
            disabled: 0.0,
            ..Population::new("contoso.com", 23, USERS)
        };
        let tenant = emulator.graph().add_tenant(TenantSpec::new(population));
        tenant.set_paging(Paging {
            page_size_max: 100,
            ..tenant.paging()
        });
        Self {
            emulator,
            tenant,
            ambient,
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        command
            .arg("--local")
            .arg(dir)
            .arg("--json")
            .arg("-q")
            .env(SECRET, self.tenant.client_secret())
            .stdin(Stdio::null());
        command
    }

    fn put_tenant(&self, dir: &Path) {
        let file = self.root.path().join("tenants.toml");
        let origin = self.emulator.origin();
        let text = format!(
            "[[tenant]]\nid = \"contoso\"\ndirectory_id = \"{}\"\nclient_id = \"{}\"\n\
             graph_url = \"{origin}\"\nlogin_url = \"{origin}\"\n\
             credential = {{ kind = \"secret\", env = \"{SECRET}\" }}\n\
             [tenant.limits]\nlease_seconds = 1\n",
            self.tenant.directory_id(),
            self.tenant.client_id(),
        );
        std::fs::write(&file, text).unwrap();
        let put = self
            .command(dir)
            .args(["tenant", "put"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(put.status.success(), "{put:?}");
    }

    fn sync(&self, dir: &Path) -> Child {
        self.command(dir)
            .arg("sync")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Everybody in the directory, without the moments at which they were written.
    fn users(&self, dir: &Path) -> Vec<Value> {
        let list = self.command(dir).args(["user", "list"]).output().unwrap();
        assert!(list.status.success(), "{list:?}");
        String::from_utf8(list.stdout)
            .unwrap()
            .lines()
            .map(|line| {
                let mut user: Value = serde_json::from_str(line).unwrap();
                user.as_object_mut().unwrap().remove("status_at").unwrap();
                user
            })
            .collect()
    }

    /// Kills the sync until it was killed often enough; gives how often it was. A sync that ends
    /// before its kill is done.
    async fn sync_with_kills(&self, dir: &Path, kills_max: u32) -> u32 {
        for kills in 0..kills_max {
            let mut sync = self.sync(dir);
            let after_ms = self.ambient.random_up_to(KILL_AFTER_MS_MAX);
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            if let Some(status) = sync.try_wait().unwrap() {
                assert!(status.success(), "{status:?}");
                return kills;
            }
            sync.kill().unwrap();
            sync.wait().unwrap();
        }
        let status = self.sync(dir).wait().unwrap();
        assert!(status.success(), "{status:?}");
        kills_max
    }

    /// From the state of `start`, again and again, until there were enough kills; each time the
    /// result is `expected`.
    async fn same_result_with_kills(&self, start: Option<&Path>, expected: &[Value]) {
        let mut kills = 0;
        let mut round = 0;
        while kills < KILLS {
            round += 1;
            let dir = self.root.path().join(format!("{}-{round}", expected.len()));
            match start {
                Some(start) => copy(start, &dir),
                None => self.put_tenant(&dir),
            }
            kills += self.sync_with_kills(&dir, KILLS - kills).await;
            let users = self.users(&dir);
            assert_eq!(users.len(), expected.len());
            for (user, expected) in users.iter().zip(expected) {
                assert_eq!(user, expected);
            }
        }
    }

    /// A day: leavers, disabled, renamed and new users.
    fn change(&self) {
        let mut directory = self.tenant.directory();
        let everyone: Vec<_> = directory.users().map(|user| user.id).collect();
        for (index, id) in everyone.into_iter().enumerate() {
            match index % 50 {
                0 => directory.soft_delete(id).unwrap(),
                1 => directory.set_account_enabled(id, Some(false)).unwrap(),
                2 => {
                    let name = format!("renamed{index}@contoso.com");
                    directory.rename(id, &name, "Renamed").unwrap();
                }
                _ => {}
            }
        }
        directory.add_people(100);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_is_killed_at_random_moments_ends_as_if_it_was_not() {
    let rig = Rig::start().await;
    let whole = rig.root.path().join("whole");
    rig.put_tenant(&whole);
    assert!(rig.sync(&whole).wait().unwrap().success());
    let expected = rig.users(&whole);
    assert_eq!(expected.len(), USERS);
    rig.same_result_with_kills(None, &expected).await;

    rig.change();
    let before = rig.root.path().join("before");
    copy(&whole, &before);
    assert!(rig.sync(&whole).wait().unwrap().success());
    let expected = rig.users(&whole);
    assert_eq!(expected.len(), USERS + 100);
    rig.same_result_with_kills(Some(&before), &expected).await;
}
