//! The shell of issue 3, point 3: the rules are docs/shell.md.

mod prompt;
mod script;

use super::{LOGIN, STORE, USAGE, one_slot};
