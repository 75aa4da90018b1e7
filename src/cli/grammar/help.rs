//! Help for people: each long option as lunacm writes it and as others do, and no option that does nothing.

use clap::Command;
use clap::builder::StyledStr;

use super::needless;

/// Stands for what cannot be said to clap, which writes two dashes before a long option and measures what it writes.
/// Of private use, so in no text.
const JOINT: &str = "\u{e000}\u{e000}\u{e000}";

/// The help of the last command of `path`, for a terminal and without its colours.
pub struct Help {
    pub styled: String,
    pub plain: String,
}

/// Renders it. `long` is what `--help` and `help` show, `-h` is shorter.
pub fn render(path: &[&Command], long: bool) -> Help {
    let Some(&command) = path.last() else {
        return Help {
            styled: String::new(),
            plain: String::new(),
        };
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

/// `--slot???slot` in the list of options as `-slot, --slot`, in the usage line as `--slot`.
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
