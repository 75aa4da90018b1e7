//! Searches: `C_FindObjectsInit`, `C_FindObjects`, `C_FindObjectsFinal`.

use slotfs_wire::rv::*;
use slotfs_wire::{Reply, Template};

use crate::Application;
use crate::attributes;
use crate::error::{Result, Rv};
use crate::session::{Search, Session};

/// The most handles in one reply.
const MOST_HANDLES: u64 = 65_536;

impl Application {
    pub(crate) fn find_init(&self, session: &Session, template: &Template) -> Result<Reply> {
        if session.work().search.is_some() {
            return Err(Rv(CKR_OPERATION_ACTIVE));
        }
        let found = match attributes::wanted(template) {
            Some(wanted) => self.matching(session, &wanted)?,
            None => Vec::new(),
        };
        let mut work = session.work();
        if work.search.is_some() {
            return Err(Rv(CKR_OPERATION_ACTIVE));
        }
        work.memory.make_room(found.len() * size_of::<u64>())?;
        work.search = Some(Search { found, next: 0 });
        Ok(Reply::Done)
    }

    /// The handles of every object that has all `wanted` attributes: the slot's, then the application's own.
    fn matching(&self, session: &Session, wanted: &[(u32, Vec<u8>)]) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        let mut sees_private = false;
        if let Some(reader) = self.reader(session) {
            sees_private = reader.sees_private;
            let stored = self
                .provider
                .with_index(session.slot, &reader.hsm, |index| {
                    index.matching(wanted, reader.sees_private)
                })?;
            found.extend(stored.into_iter().map(|it| u64::from(it.get())));
        }
        let state = self.state();
        for (handle, it) in &state.objects {
            let seen = it.slot == session.slot && (sees_private || !it.is_private());
            let has = |(number, bytes): &(u32, Vec<u8>)| {
                attributes::encode(it.object(), *number).as_ref() == Some(bytes)
            };
            if seen && wanted.iter().all(has) {
                found.push(*handle);
            }
        }
        Ok(found)
    }

    pub(crate) fn find(&self, session: &Session, most: u64) -> Result<Reply> {
        let mut work = session.work();
        let search = work.search.as_mut();
        let search = search.ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        let rest = search.found.get(search.next..).unwrap_or_default();
        let most = usize::try_from(most.min(MOST_HANDLES)).unwrap_or(usize::MAX);
        let page: Vec<u64> = rest.iter().copied().take(most).collect();
        search.next += page.len();
        Ok(Reply::Handles(page))
    }

    pub(crate) fn find_final(&self, session: &Session) -> Result<Reply> {
        let search = session.work().search.take();
        search.ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        Ok(Reply::Done)
    }
}
