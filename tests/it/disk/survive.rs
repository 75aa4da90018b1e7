//! What of the disk is there after the power was gone.

use std::collections::BTreeMap;

use super::state::{Change, File, State};
use crate::model::Dice;

/// Files by name.
pub type Image = BTreeMap<String, Vec<u8>>;

/// The unit in which a disk writes or does not.
const SECTOR: usize = 512;

/// What a disk keeps of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// All of it: the process was killed, not the machine.
    Everything,
    /// None of it, names included.
    Synced,
    /// Names, and no data.
    Names,
    /// Any sectors and any names, as the seed has it.
    Sectors(u64),
    /// All but the end of the last write, from a sector that the seed chooses.
    Torn(u64),
    /// The same, and the sector it stopped in holds anything.
    TornGarbage(u64),
}

impl State {
    /// The files that are there if this much survives.
    pub fn image(&self, survives: Survives) -> Image {
        match survives {
            Survives::Everything => self.with(&self.names, |file| file.data.clone()),
            Survives::Synced => self.with(&self.durable_names, |file| file.durable.clone()),
            Survives::Names => self.with(&self.names, |file| file.durable.clone()),
            Survives::Sectors(seed) => {
                let mut dice = Dice(seed);
                let names = self.some_names(&mut dice);
                self.with(&names, |file| some_sectors(file, &mut dice))
            }
            Survives::Torn(seed) => self.torn(&mut Dice(seed), false),
            Survives::TornGarbage(seed) => self.torn(&mut Dice(seed), true),
        }
    }

    fn with(&self, names: &BTreeMap<String, u64>, mut data: impl FnMut(&File) -> Vec<u8>) -> Image {
        names
            .iter()
            .filter_map(|(name, ino)| Some((name.clone(), data(self.files.get(ino)?))))
            .collect()
    }

    /// For each name that was made, removed or changed since the folder was synced: done, or not.
    fn some_names(&self, dice: &mut Dice) -> BTreeMap<String, u64> {
        let mut names = self.durable_names.clone();
        for name in self.durable_names.keys().chain(self.names.keys()) {
            if self.names.get(name) != self.durable_names.get(name) && dice.roll(2) == 0 {
                match self.names.get(name) {
                    Some(ino) => names.insert(name.clone(), *ino),
                    None => names.remove(name),
                };
            }
        }
        names
    }

    fn torn(&self, dice: &mut Dice, garbage: bool) -> Image {
        let mut torn = self.clone();
        let last = self.last_written.and_then(|ino| torn.files.get_mut(&ino));
        if let Some(file) = last
            && let Some(Change::Write { offset, bytes }) = file.unsynced.pop()
        {
            // As it was before that write.
            file.data.clone_from(&file.durable);
            for change in &file.unsynced {
                change.apply(&mut file.data);
            }
            let end = offset + bytes.len();
            let sectors = (end - 1) / SECTOR - offset / SECTOR + 1;
            // How many of its sectors were written: never all.
            let written = dice.roll(u32::try_from(sectors).unwrap()) as usize;
            let stop = ((offset / SECTOR + written) * SECTOR).max(offset);
            let mut kept = bytes[..stop - offset].to_vec();
            if garbage {
                let sector_end = ((stop / SECTOR + 1) * SECTOR).min(end);
                kept.extend((stop..sector_end).map(|_| dice.roll(256) as u8));
            }
            Change::Write {
                offset,
                bytes: kept,
            }
            .apply(&mut file.data);
        }
        torn.image(Survives::Everything)
    }
}

/// The durable file with some of the sectors, and perhaps the size, that it has now.
fn some_sectors(file: &File, dice: &mut Dice) -> Vec<u8> {
    let mut data = file.durable.clone();
    if data.len() != file.data.len() && dice.roll(2) == 0 {
        data.resize(file.data.len(), 0);
    }
    for start in (0..data.len().min(file.data.len())).step_by(SECTOR) {
        let end = (start + SECTOR).min(data.len()).min(file.data.len());
        if data[start..end] != file.data[start..end] && dice.roll(2) == 0 {
            data[start..end].copy_from_slice(&file.data[start..end]);
        }
    }
    data
}
