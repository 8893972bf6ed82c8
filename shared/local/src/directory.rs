//! The directory that holds the data, and its lock.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::LocalError;

const LOCK_FILE: &str = "lock";
const DATABASE_FILE: &str = "dynamodb.sqlite";

/// A directory that this process alone uses. The lock goes with the value, or with the process,
/// however it ends: the kernel holds it, not the file.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes the directory if it is missing, and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, LocalError> {
        let not_usable = |source| LocalError::DirNotUsable {
            dir: path.to_owned(),
            source,
        };
        make(path).map_err(not_usable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK_FILE))
            .map_err(not_usable)?;
        own(&path.join(DATABASE_FILE)).map_err(not_usable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(LocalError::DirInUse {
                dir: path.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(not_usable(error)),
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE_FILE)
    }
}

/// Makes the database's file its owner's alone, before the database is opened: in a directory that
/// others may read, too, the data is about people. The files beside it take after it.
fn own(database: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(database).map(drop)
}

/// The data is about people, so a directory made here is its owner's alone. One that was there
/// before stays as its owner made it.
fn make(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
