//! Files that are there to be locked. Must not lock them: each does that in its own way.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

/// Opens a lock file, which is nobody's but root's to open: whoever can open it can hold the lock. Anew each time: whoever
/// deletes it parts only those who hold it at that moment. With `make_folder` its folder is made where there is none.
///
/// # Errors
/// When it cannot be made or opened, also where a link has its name.
pub fn open_lock_file(path: &Path, make_folder: bool) -> io::Result<File> {
    let no_link = OFlag::O_NOFOLLOW.bits();
    let open = || File::options().append(true).create(true).mode(0o600).custom_flags(no_link).open(path);
    let file = match (open(), path.parent()) {
        (Err(error), Some(folder)) if make_folder && error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().mode(0o755).recursive(false).create(folder)?;
            open()?
        }
        (result, _) => result?,
    };
    // One of an older version, which everybody could open.
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}
