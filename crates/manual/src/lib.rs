//! The man pages and the completions of slotfs. Commands and options come from the definition that parses them, everything
//! else from the pages in `docs` and from the commented `packaging/slotfs.toml`, so that a manual says what the program does.

use std::error::Error;
use std::fs;
use std::path::Path;

mod commands;
mod completions;
mod date;
mod documents;
mod helper;
mod markdown;
mod page;
mod roff;
mod settings;
mod table;

use page::Page;

/// Result with any error: this runs when packages and tests are made.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Writes all of it below `out`, from the repository at `root`.
///
/// # Errors
/// What cannot be read or written, or what a page needs and no document has.
pub fn write(root: &Path, out: &Path) -> Result<()> {
    let command = slotfs::command();
    let documents = documents::read(&root.join("docs"))?;
    let readme = fs::read_to_string(root.join("README.md"))?;
    let session = documents::first_session(&readme).ok_or("README.md has no session")?;
    let mut pages = commands::pages(&command, &documents, session)?;
    pages.push(settings::page(&root.join("packaging/slotfs.toml"))?);
    pages.extend(documents.iter().filter_map(documents::Document::page));
    pages.push(helper::page(&documents)?);
    let names: Vec<String> = pages.iter().map(Page::reference).collect();
    for page in &pages {
        let folder = out.join(format!("man{}", page.section));
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}.{}", page.name, page.section));
        fs::write(file, page.render(&names)?)?;
    }
    completions::write(command, out)
}
