//! Where the commands of a page are typed: a local stack, and a tenant to point it at.

use rollcall_graph_emulator::{
    Directory, DirectoryError, Emulator, FaultScript, Population, Tenant, TenantSpec,
};
use uuid::Uuid;

use crate::support::{Ended, Local, SECRET, emulator, entry};

/// Who is in the directory: the same people as those of the program `emulate`, with `--users 100`.
const USERS: usize = 100;
const SEED: u64 = 7;
/// Somebody whom pages name.
const ADELE: &str = "adele@contoso.com";
/// The stack that pages name; its commands are given to the local one.
const STACK: [&str; 2] = ["--stack", "rollcall"];
/// Who types.
const OPERATOR: &str = "oncall";
/// Stands for the hash of the plan that waits.
const HASH: &str = "HASH";
/// The length of one.
const HASH_CHARS: usize = 64;

pub(super) struct Stage {
    emulator: Emulator,
    tenant: Tenant,
    local: Local,
}

impl Stage {
    /// A tenant file, and an empty stack.
    pub(super) async fn new() -> Self {
        let emulator = emulator().await;
        let mut spec = TenantSpec::new(Population::new("contoso.com", SEED, USERS));
        spec.client_secret = SECRET.to_owned();
        let tenant = emulator.graph().add_tenant(spec);
        {
            let mut directory = tenant.directory();
            assert!(directory.find(ADELE).is_none(), "{ADELE} is somebody else");
            let members = directory.users().filter(|user| {
                let is_member = user.user_type.as_deref() == Some("Member");
                user.account_enabled == Some(true) && is_member
            });
            let adele = members.last().unwrap().id;
            directory.rename(adele, ADELE, "Adele Vance").unwrap();
        }
        let (local, _) = Local::with_file(&entry("contoso", &emulator, &tenant), SECRET);
        Self {
            emulator,
            tenant,
            local,
        }
    }

    /// A stack that has synced its tenant once.
    pub(super) async fn synced() -> Self {
        let stage = Self::new().await;
        stage.call("tenant put tenants.toml").with(0);
        stage.call("sync").with(0);
        stage
    }

    /// Something that happens, or is typed, before a block: what `emulate` takes as well, or a command.
    pub(super) fn directed(&self, step: &str) {
        let graph = self.emulator.graph();
        match step.split_once(' ') {
            Some(("rollcall", args)) => drop(self.call(args)),
            Some(("play", rule)) => graph.play(rule.parse::<FaultScript>().unwrap()),
            Some(("disable", count)) => self.each(count, |tenant, id| {
                tenant.set_account_enabled(id, Some(false))
            }),
            Some(("delete", count)) => self.each(count, Directory::soft_delete),
            Some(("rename", count)) => self.each(count, |tenant, id| {
                tenant.rename(id, &format!("{id}@fabrikam.com"), "Renamed")
            }),
            Some(("enable", id)) => {
                let (mut tenant, id) = (self.tenant.directory(), id.parse().unwrap());
                tenant.set_account_enabled(id, Some(true)).unwrap();
            }
            Some(("set", setting)) => self.set(setting),
            None if step == "heal" => graph.clear_faults(),
            _ => panic!("there is no direction {step:?}"),
        }
    }

    /// Something happens to the first so many of those who are enabled.
    fn each(
        &self,
        count: &str,
        happens: impl Fn(&mut Directory, Uuid) -> Result<(), DirectoryError>,
    ) {
        let mut tenant = self.tenant.directory();
        let enabled = tenant.users().filter(|it| it.account_enabled == Some(true));
        let ids: Vec<_> = enabled
            .map(|it| it.id)
            .take(count.parse().unwrap())
            .collect();
        for id in ids {
            happens(&mut tenant, id).unwrap();
        }
    }

    /// The tenant's settings are others: a table of the tenant file, and a line in it.
    fn set(&self, setting: &str) {
        let (table, line) = setting.split_once(' ').unwrap();
        let file = self.local.folder().join("tenants.toml");
        let before = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{before}[{table}]\n{line}\n")).unwrap();
        self.local.put(&file).with(0);
    }

    /// Calls `rollcall` with the arguments of a page.
    pub(super) fn call(&self, args: &str) -> Ended {
        let mut words: Vec<_> = args.split_whitespace().map(str::to_owned).collect();
        if let Some(at) = words.windows(2).position(|pair| pair == STACK) {
            words.drain(at..at + 2);
        }
        for word in &mut words {
            let is_hash = word.len() == HASH_CHARS && word.bytes().all(|b| b.is_ascii_hexdigit());
            if word == HASH || is_hash {
                *word = self.plan_that_waits();
            }
        }
        let mut command = self.local.command(words);
        command
            .arg("-q")
            .current_dir(self.local.folder())
            .env("USER", OPERATOR);
        crate::support::run_binary(&mut command)
    }

    fn plan_that_waits(&self) -> String {
        let held = self.local.call("hold list --json").with(0).objects();
        held.last().unwrap()["held"]["plan"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}
