//! Help texts. They show a long option with one dash, as lunacm writes it, and with two. They leave out options that do
//! nothing for the command.

use clap::Command;
use clap::builder::StyledStr;

use super::needless;

/// Stands between the two spellings of a long option until clap has laid out the text: clap writes two dashes itself and
/// measures what it writes. These characters are of Unicode's private use area, so no text contains them.
const JOINT: &str = "\u{e000}\u{e000}\u{e000}";

/// A text for a terminal with colours, and for others.
pub(crate) struct Help {
    pub(crate) styled: String,
    pub(crate) plain: String,
}

impl Help {
    /// Text without colours.
    pub(crate) fn plain(text: String) -> Self {
        Self {
            styled: text.clone(),
            plain: text,
        }
    }
}

/// Renders the help of the last command of `path`. `long`: as `--help` and `help` show it; `-h` is shorter.
pub(crate) fn render(path: &[&Command], long: bool) -> Help {
    let Some(&command) = path.last() else {
        return Help::plain(String::new());
    };
    let mut command = command.clone().mut_args(|arg| {
        let needless = needless::does_nothing(path, arg.get_id().as_str());
        let hidden = needless || arg.is_hide_set();
        let arg = arg.hide(hidden);
        match arg.get_long().map(|long| format!("{long}{JOINT}{long}")) {
            Some(both) => arg.long(both),
            None => arg,
        }
    });
    let text = match long {
        true => command.render_long_help(),
        false => command.render_help(),
    };
    Help {
        styled: part(&text.ansi().to_string()),
        plain: part(&StyledStr::to_string(&text)),
    }
}

/// Rewrites `--slot` + joint + `slot`: as `-slot, --slot` in the list of options, as `--slot` in the usage line.
fn part(text: &str) -> String {
    let mut parted = String::with_capacity(text.len());
    let mut in_usage = false;
    for line in text.split_inclusive('\n') {
        in_usage = match in_usage {
            true => !line.trim().is_empty(),
            false => line.contains("Usage:"),
        };
        parted.push_str(&part_line(line, in_usage));
    }
    parted
}

fn part_line(line: &str, in_usage: bool) -> String {
    let mut line = line.to_owned();
    while let Some(at) = line.find(JOINT) {
        let start = line[..at].rfind("--").unwrap_or(at);
        let long = line[start..at].trim_start_matches('-').to_owned();
        let end = (at + JOINT.len() + long.len()).min(line.len());
        let both = match in_usage {
            true => format!("--{long}"),
            false => format!("-{long}, --{long}"),
        };
        line.replace_range(start..end, &both);
    }
    line
}
