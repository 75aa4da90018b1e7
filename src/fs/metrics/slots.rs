//! The slots on the page of `.slotfs/metrics`.

use super::exposition::{Kind, Page};
use super::text::Asked;
use super::{Logins, Metrics, OfSlot};
use crate::error::Result;
use crate::fs::lock;
use crate::hsm::{self, RoleState, SlotRow};
use crate::object::partition::Role;
use crate::object::show;

/// The states of a slot, one at a time.
const STATES: [&str; 3] = ["locked", "open", "damaged"];
/// The roles that log in on a mount.
const ROLES: [Role; 2] = [Role::Co, Role::Cu];
/// A slot as it is now.
struct Slot {
    number: String,
    state: &'static str,
    role: Option<Role>,
    /// Nothing of it can be read if `None`.
    row: Option<SlotRow>,
    /// Objects and bytes.
    usage: Option<(u64, u64)>,
    trash: Option<u64>,
    roles: Vec<RoleState>,
    counts: OfSlot,
}

impl Metrics {
    /// Writes the slots that the reader may see.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn slots(&self, asked: &Asked<'_>, page: &mut Page) -> Result<()> {
        write(&self.look(asked)?, page);
        Ok(())
    }

    fn look(&self, asked: &Asked<'_>) -> Result<Vec<Slot>> {
        let counts = lock(&self.slots).clone();
        let mut slots = Vec::new();
        for listed in asked.hsm.slots()? {
            // Without a number it has no folder, and belongs to nobody here.
            let Some(slot) = listed.slot.filter(|slot| (asked.may_enter)(*slot)) else {
                continue;
            };
            let partition = asked.hsm.partition(slot);
            let row = unless_damaged(listed.row)?;
            let usage = unless_damaged(partition.usage())?;
            let sound = unless_damaged(partition.inspect())?;
            let role = partition.session().ok().map(|session| session.role());
            slots.push(Slot {
                number: slot.to_string(),
                state: match (&row, usage, sound, role) {
                    (Some(_), Some(_), Some(()), Some(_)) => "open",
                    (Some(_), Some(_), Some(()), None) => "locked",
                    _ => "damaged",
                },
                role,
                row,
                usage,
                trash: unless_damaged(partition.trash_count())?,
                roles: unless_damaged(partition.roles())?.unwrap_or_default(),
                counts: counts.get(&slot).copied().unwrap_or_default(),
            });
        }
        Ok(slots)
    }
}

/// `None` of what cannot be read.
fn unless_damaged<T>(read: hsm::Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        // Also of a slot that was deleted since it was listed.
        Err(error) if error.is_damage() || error.is_no_such_slot() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// One metric with a sample for each slot that has a value.
fn gauge(
    page: &mut Page,
    slots: &[Slot],
    (name, help): (&str, &str),
    value: impl Fn(&Slot) -> Option<u64>,
) {
    page.metric(name, Kind::Gauge, help);
    for slot in slots {
        if let Some(value) = value(slot) {
            page.sample(name, &[("slot", &slot.number)], value);
        }
    }
}

/// One metric with a sample for each slot and role.
fn by_role(
    page: &mut Page,
    slots: &[Slot],
    (name, kind, help): (&str, Kind, &str),
    values: impl Fn(&Slot) -> Vec<(Role, u64)>,
) {
    page.metric(name, kind, help);
    for slot in slots {
        for (role, value) in values(slot) {
            let labels = [("slot", &*slot.number), ("role", &role.to_string())];
            page.sample(name, &labels, value);
        }
    }
}

fn write(slots: &[Slot], page: &mut Page) {
    info(slots, page);
    let name = "slotfs_slot_state";
    page.metric(name, Kind::Gauge, "1 for the state that the slot is in.");
    for slot in slots {
        for state in STATES {
            let labels = [("slot", &*slot.number), ("state", state)];
            page.sample(name, &labels, u8::from(slot.state == state));
        }
    }
    by_role(
        page,
        slots,
        (
            "slotfs_slot_logged_in",
            Kind::Gauge,
            "1 for the role that is logged in to the slot on this mount.",
        ),
        |slot| {
            ROLES
                .map(|role| (role, u64::from(slot.role == Some(role))))
                .into()
        },
    );
    let of_row = |value: fn(&SlotRow) -> u64| move |slot: &Slot| slot.row.as_ref().map(value);
    gauge(
        page,
        slots,
        ("slotfs_slot_objects", "Objects in the slot."),
        |slot| slot.usage.map(|(objects, _)| objects),
    );
    gauge(
        page,
        slots,
        (
            "slotfs_slot_capacity_objects",
            "Objects that the slot can hold.",
        ),
        of_row(|row| row.capacity_objects),
    );
    gauge(
        page,
        slots,
        (
            "slotfs_slot_size_bytes",
            "Bytes of the objects in the slot.",
        ),
        |slot| slot.usage.map(|(_, bytes)| bytes),
    );
    gauge(
        page,
        slots,
        (
            "slotfs_slot_capacity_bytes",
            "Bytes of objects that the slot can hold.",
        ),
        of_row(|row| row.capacity_bytes),
    );
    gauge(
        page,
        slots,
        (
            "slotfs_slot_trash_objects",
            "Objects in the trash of the slot.",
        ),
        |slot| slot.trash,
    );
    let name = "slotfs_slot_verdicts_total";
    page.metric(
        name,
        Kind::Counter,
        "Blobs that the slot was given on this mount, by its verdict.",
    );
    for slot in slots {
        for (verdict, count) in [
            ("good", slot.counts.verdicts_good),
            ("bad", slot.counts.verdicts_bad),
        ] {
            let labels = [("slot", &*slot.number), ("verdict", verdict)];
            page.sample(name, &labels, count);
        }
    }
    logins(slots, page);
}

fn info(slots: &[Slot], page: &mut Page) {
    let name = "slotfs_slot_info";
    page.metric(
        name,
        Kind::Gauge,
        "What the partition in the slot is; always 1. A damaged one that cannot be read is missing.",
    );
    for slot in slots {
        let Some(row) = &slot.row else { continue };
        let (serial, kind) = (row.serial.to_string(), row.kind.to_string());
        let (version, label) = (row.version.to_string(), show::escape_controls(&row.label));
        let labels = [
            ("slot", &*slot.number),
            ("label", &label),
            ("serial", &serial),
            ("kind", &kind),
            ("version", &version),
        ];
        page.sample(name, &labels, 1);
    }
}

fn logins(slots: &[Slot], page: &mut Page) {
    let counted = |value: fn(Logins) -> u64| {
        move |slot: &Slot| {
            let OfSlot { co, cu, .. } = slot.counts;
            vec![(Role::Co, value(co)), (Role::Cu, value(cu))]
        }
    };
    by_role(
        page,
        slots,
        (
            "slotfs_slot_logins_total",
            Kind::Counter,
            "Logins to the slot on this mount, those at its start included.",
        ),
        counted(|it| it.right),
    );
    by_role(
        page,
        slots,
        (
            "slotfs_slot_login_failures_total",
            Kind::Counter,
            "Logins to the slot on this mount that were refused.",
        ),
        counted(|it| it.wrong),
    );
    let there = |value: fn(&RoleState) -> u64| {
        move |slot: &Slot| {
            let roles = slot.roles.iter().filter(|it| it.initialized);
            roles.map(|it| (it.role, value(it))).collect()
        }
    };
    by_role(
        page,
        slots,
        (
            "slotfs_slot_failed_logins",
            Kind::Gauge,
            "Wrong passwords since the last right one, in all processes.",
        ),
        there(|it| u64::from(it.failures)),
    );
    by_role(
        page,
        slots,
        (
            "slotfs_slot_role_locked",
            Kind::Gauge,
            "1 when the role had too many wrong passwords.",
        ),
        there(|it| u64::from(it.locked)),
    );
}
