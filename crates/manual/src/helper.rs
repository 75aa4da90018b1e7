//! mount.fuse.slotfs(8): what mount(8) and /etc/fstab give to the program, from docs/mount.md.

use crate::documents::{Document, subsection};
use crate::page::Page;
use crate::roff::{bold, italic, lines};
use crate::{Result, markdown};

/// The headings of docs/mount.md that the page has.
const HEADINGS: [&str; 3] = ["By mount(8) and fstab", "Options", "At a descriptor"];

/// The page.
///
/// # Errors
/// A heading that docs/mount.md does not have.
pub(crate) fn page(documents: &[Document]) -> Result<Page> {
    let mount = documents.iter().find(|it| it.stem == "mount");
    let mount = mount.ok_or("docs/mount.md is missing")?;
    let mut body = String::from(".SH SYNOPSIS\n");
    body.push_str(&lines(&format!(
        "{} {} {} [{}] [{} {}]",
        bold("mount -t fuse.slotfs"),
        italic("STORE"),
        italic("DIR"),
        bold("-fnsv"),
        bold("-o"),
        italic("OPTIONS")
    )));
    body.push_str(".br\n");
    body.push_str(&lines(&format!(
        "{} {} {} [{}] [{} {}] [{} {}] [{} {}]",
        bold("mount.fuse.slotfs"),
        italic("STORE"),
        italic("DIR"),
        bold("-sfnv"),
        bold("-N"),
        italic("NAMESPACE"),
        bold("-o"),
        italic("OPTIONS"),
        bold("-t"),
        bold("fuse.slotfs")
    )));
    body.push_str(".SH DESCRIPTION\n");
    for heading in HEADINGS {
        let text = subsection(&mount.text, heading)
            .ok_or_else(|| format!("docs/mount.md has no section '{heading}'"))?;
        body.push_str(&markdown::to_roff(&text.replacen("### ", "## ", 1)));
    }
    Ok(Page::new(
        "mount.fuse.slotfs",
        8,
        "mount the store of a software HSM by mount(8) or fstab(5)",
        body,
    ))
}
