//! Writes the man pages and the completions of slotfs: `slotfs-manual FOLDER`, in the repository's folder.
//!
//!     FOLDER/man1/slotfs.1 ...    FOLDER/bash/slotfs    FOLDER/zsh/_slotfs    FOLDER/fish/slotfs.fish

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1);
    let folder = folder.ok_or("usage: slotfs-manual FOLDER, in the repository's folder")?;
    slotfs_manual::write(Path::new("."), Path::new(&folder))
}
