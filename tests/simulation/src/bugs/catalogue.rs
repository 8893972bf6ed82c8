//! The list of the bugs, and how each is put into a source text.

use std::collections::BTreeSet;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::NO_BUG;

/// What a bug's text calls to ask whether it is awake.
const SWITCH: &str = "seeded!()";

/// The variable that wakes one bug in a process, by its name.
pub(super) const AWAKE: &str = "ROLLCALL_SEEDED_BUG";

/// A defect that can be planted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bug {
    /// What it is called: small letters, digits and dashes.
    pub(super) name: String,
    /// The part of the design that it breaks: `invariant 4`, `fine print 1`, `guarantee: …`.
    pub(super) breaks: String,
    /// What goes wrong, and for whom.
    pub(super) story: String,
    /// Whether it was in the shipped code once, and was found here: its seed is its regression test.
    #[serde(default)]
    pub(super) was_real: bool,
    /// The source file, from the workspace's root.
    pub(super) file: String,
    /// The text that it stands in for: once in the file.
    pub(super) find: String,
    /// The text with the bug: the same as before while it sleeps.
    pub(super) replace: String,
    /// What else has to be wrong for it to do harm, where one line's defect is made good by another line.
    #[serde(default)]
    pub(super) also: Vec<Edit>,
}

/// A text of a source file, and what stands in for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    file: String,
    find: String,
    replace: String,
}

impl Bug {
    /// All its texts: the file, what is found there, what stands in for it.
    fn edits(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let first = (&*self.file, &*self.find, &*self.replace);
        let more = self.also.iter();
        iter::once(first).chain(more.map(|it| (&*it.file, &*it.find, &*it.replace)))
    }

    /// Where it is planted.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.edits().map(|(file, ..)| file)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BugFile {
    bug: Vec<Bug>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bugs")
}

/// All bugs, in the order of their files.
pub(super) fn load() -> Result<Vec<Bug>> {
    let folder = folder();
    let told = || format!("the seeded bugs in {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(told)? {
        let path = entry.with_context(told)?.path();
        if path.extension().is_some_and(|it| it == "toml") {
            files.push(path);
        }
    }
    files.sort();
    let mut bugs = Vec::new();
    for path in files {
        let told = || path.display().to_string();
        let text = fs::read_to_string(&path).with_context(told)?;
        let file: BugFile = toml::from_str(&text).with_context(told)?;
        bugs.extend(file.bug);
    }
    check(&bugs)?;
    Ok(bugs)
}

fn check(bugs: &[Bug]) -> Result<()> {
    let mut names = BTreeSet::from([NO_BUG]);
    for bug in bugs {
        let name = &bug.name;
        let is_kebab = !name.is_empty()
            && name.split('-').all(|word| {
                !word.is_empty()
                    && word
                        .bytes()
                        .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
            });
        ensure!(
            is_kebab,
            "bug {name:?}: name it with small letters, digits and dashes"
        );
        ensure!(
            names.insert(name),
            "bug {name}: the name is taken; give it another"
        );
        ensure!(
            bug.edits().all(|(_, _, replace)| replace.contains(SWITCH)),
            "bug {name}: its text never asks {SWITCH}, so it would never sleep"
        );
        ensure!(
            bug.story.ends_with('.'),
            "bug {name}: tell its story in a whole sentence"
        );
    }
    Ok(())
}

/// The expression that a bug's `seeded!()` becomes. The variable is read once a place: some stand in
/// loops over all users.
fn is_awake(name: &str) -> String {
    format!(
        "bool::clone({{ static AWAKE: ::std::sync::LazyLock<bool> = ::std::sync::LazyLock::new(|| \
         ::std::env::var(\"{AWAKE}\").is_ok_and(|it| it == \"{name}\")); &AWAKE }})"
    )
}

/// `source`, which is `file`, with all of `bugs` that belong into it.
pub(super) fn planted(bugs: &[Bug], file: &str, source: &str) -> Result<String> {
    let mut places = Vec::new();
    let edits = |bug| Bug::edits(bug).map(move |edit| (bug, edit));
    let edits = bugs.iter().flat_map(edits);
    for (bug, (_, find, replace)) in edits.filter(|(_, edit)| edit.0 == file) {
        let mut found = source.match_indices(find);
        let place = found.next().map(|(at, _)| at);
        match (place, found.count()) {
            (Some(at), 0) => places.push((at, bug, find.len(), replace)),
            (None, _) => bail!(
                "bug {}: its text is not in {file} any more; adapt its `find`",
                bug.name
            ),
            (Some(_), more) => bail!(
                "bug {}: its text is {} times in {file}; add to its `find` until it is there once",
                bug.name,
                more + 1
            ),
        }
    }
    places.sort_by_key(|place| place.0);
    let mut text = String::with_capacity(source.len());
    let mut rest = 0;
    let mut before = "";
    for (at, bug, len, replace) in places {
        ensure!(
            at >= rest,
            "bugs {before} and {} overlap in {file}; shorten one `find`",
            bug.name
        );
        text.push_str(&source[rest..at]);
        text.push_str(&replace.replace(SWITCH, &is_awake(&bug.name)));
        rest = at + len;
        before = &bug.name;
    }
    text.push_str(&source[rest..]);
    Ok(text)
}
