//! What programs copy files with.

use std::fs;
use std::io;
use std::path::Path;

use super::{Again, Tool, each, rust, script, tools};
use crate::fixture::names;

/// Runs `copy` for every file, as a program would that goes on after an error.
fn for_each(
    source: &Path,
    target: &Path,
    copy: impl Fn(&Path, &Path) -> io::Result<()>,
) -> Vec<String> {
    names(source)
        .into_iter()
        .filter_map(|name| {
            copy(&source.join(&name), &target.join(&name))
                .err()
                .map(|e| format!("{name}: {e}"))
        })
        .collect()
}

fn fs_copy(source: &Path, target: &Path) -> Vec<String> {
    for_each(source, target, |from, to| fs::copy(from, to).map(drop))
}

fn fs_write(source: &Path, target: &Path) -> Vec<String> {
    for_each(source, target, |from, to| fs::write(to, fs::read(from)?))
}

fn io_copy(source: &Path, target: &Path) -> Vec<String> {
    for_each(source, target, |from, to| {
        let mut to = fs::File::create(to)?;
        io::copy(&mut fs::File::open(from)?, &mut to).map(drop)
    })
}

const fn python(text: &'static str) -> Tool {
    script(text)
}

tools! {
    rust_fs_copy: rust(fs_copy);
    rust_fs_write: rust(fs_write);
    rust_io_copy: rust(io_copy);
    python_copy: each(r#"python3 -c 'import shutil, sys; shutil.copy(*sys.argv[1:])' "$F" "$D/$N""#);
    python_copy_to_dir: each(r#"python3 -c 'import shutil, sys; shutil.copy(*sys.argv[1:])' "$F" "$D""#);
    python_copy2: each(r#"python3 -c 'import shutil, sys; shutil.copy2(*sys.argv[1:])' "$F" "$D/$N""#);
    python_copyfile: each(r#"python3 -c 'import shutil, sys; shutil.copyfile(*sys.argv[1:])' "$F" "$D/$N""#);
    python_copyfileobj: each(
        r#"python3 -c 'import shutil, sys
with open(sys.argv[1], "rb") as a, open(sys.argv[2], "wb") as b: shutil.copyfileobj(a, b, 999)' "$F" "$D/$N""#
    );
    python_copytree: python(
        r#"python3 -c 'import shutil, sys; shutil.copytree(*sys.argv[1:], dirs_exist_ok=True)' "$S" "$D""#
    );
    python_move: each(r#"python3 -c 'import shutil, sys; shutil.move(*sys.argv[1:])' "$F" "$D/$N""#).takes();
    python_write_bytes: each(
        r#"python3 -c 'import pathlib, sys; pathlib.Path(sys.argv[2]).write_bytes(pathlib.Path(sys.argv[1]).read_bytes())' "$F" "$D/$N""#
    );
    python_exclusive: each(
        r#"python3 -c 'import sys
with open(sys.argv[1], "rb") as a, open(sys.argv[2], "xb") as b: b.write(a.read())' "$F" "$D/$N""#
    )
    .again(Again::Never("it refuses an existing name"));
    perl_copy: each(r#"perl -MFile::Copy -e 'copy($ARGV[0], $ARGV[1]) or die "$ARGV[1]: $!"' "$F" "$D/$N""#);
    perl_move: each(r#"perl -MFile::Copy -e 'move($ARGV[0], $ARGV[1]) or die "$ARGV[1]: $!"' "$F" "$D/$N""#).takes();
}
