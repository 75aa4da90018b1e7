//! Options that many commands share.

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::logging::Where;
use crate::object::SlotId;

/// Which slot a command works on.
#[derive(Args, Clone, Copy)]
pub(crate) struct SlotArg {
    /// The slot [default: the active one]
    #[arg(short, long)]
    pub(crate) slot: Option<SlotId>,
}

/// The slot of a command that asks for confirmation.
#[derive(Args, Clone, Copy)]
pub(crate) struct ForceAndSlot {
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) slot: SlotArg,
}

/// Reads `--log`. A path is bytes.
pub(crate) fn log_place() -> impl TypedValueParser<Value = Where> {
    OsStringValueParser::new().try_map(|text| Where::parse(&text))
}
