//! `hagroup`: slots of any stores that are kept the same (docs/hagroup.md). A group is a list in this user's state folder;
//! the slots know nothing of it.

use clap::{Args, Subcommand};

use crate::cli::{Answer, Console};
use crate::error::Result;

mod decide;
mod edit;
mod facts;
mod folder;
mod label;
mod list;
mod login;
mod member;
mod open;
mod place;
mod recover;
mod registry;
mod report;
mod run;
mod store;
mod survey;
mod synchronize;

use label::Label;
use place::PlaceArgs;

/// What can be done with groups.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make a group of one member, its first
    #[command(
        after_help = "Examples:\n  slotfs hagroup creategroup -label payments -slot 0 -memberpasswordfile /etc/slotfs/0.pw\n  slotfs hagroup creategroup -label payments -folder /mnt/hsm/0"
    )]
    Creategroup(edit::Create),
    /// Add a member: a slot of any store, or a slot's folder on a mount
    #[command(
        after_help = "Examples:\n  slotfs hagroup addmember -group payments -slot 1 --password-file 1=pw\n  slotfs --store /srv/other.db hagroup addmember -group payments -serial 4711\n  slotfs hagroup addmember -group payments -folder /mnt/site-b/0"
    )]
    Addmember(edit::Add),
    /// Take a member out of a group; its objects stay where they are
    #[command(
        after_help = "Example:\n  slotfs hagroup removemember -group payments -serial 4711 -force"
    )]
    Removemember(edit::Remove),
    /// Delete a group; the objects of its members stay where they are
    #[command(after_help = "Example:\n  slotfs hagroup deletegroup -label payments -force")]
    Deletegroup(edit::Delete),
    /// List groups, and which of their members are there, are down, or need to be synchronized
    #[command(
        after_help = "Examples:\n  slotfs hagroup listgroups\n  slotfs hagroup listgroups -group payments --json\n\nMembers whose password is in no file are not compared; the command does not ask for it."
    )]
    Listgroups(list::List),
    /// Give every member the objects and the later revisions that other members have
    #[command(
        after_help = "Examples:\n  slotfs hagroup synchronize -group payments\n  slotfs hagroup synchronize -group payments -require 2 -quiet\n  slotfs hagroup synchronize -group payments -delete -force\n\nEach object succeeds or fails by itself; the exit status is 1 when any failed, or a member took no part."
    )]
    Synchronize(synchronize::Synchronize),
    /// Let a member take part again that was refused, and give it what it lacks; the first member is not changed
    #[command(
        after_help = "Examples:\n  slotfs hagroup recover -group payments\n  slotfs hagroup recover -group payments -serial 4711 -force"
    )]
    Recover(recover::Recover),
}

impl Verb {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        match self {
            Self::Creategroup(create) => create.run(console),
            Self::Addmember(add) => add.run(console),
            Self::Removemember(remove) => remove.run(console),
            Self::Deletegroup(delete) => delete.run(console),
            Self::Listgroups(list) => list.run(console),
            Self::Synchronize(synchronize) => synchronize.run(console),
            Self::Recover(recover) => recover.run(console),
        }
    }
}

/// Which group.
#[derive(Args)]
pub(crate) struct GroupArg {
    /// The group's label
    #[arg(short, long, value_name = "LABEL")]
    group: Label,
}

/// The password of members.
#[derive(Args)]
pub(crate) struct PasswordArg {
    /// The password of co, for every member that has none on file; visible to anybody who lists processes [default: files, or asked for]
    #[arg(short, long)]
    password: Option<String>,
}
