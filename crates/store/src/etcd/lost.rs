//! Whether there is still the store that was opened under its name. Without it, every slot would look as if it had never been:
//! an empty folder, by which a mirror would empty its copy.

use std::sync::OnceLock;

use etcd_client::{Compare, CompareOp, GetOptions, GetResponse, TxnOp};

use super::Inner;
use crate::error::{Error, Result, StoreFault};

/// What is called when the store is lost.
type Tell = Box<dyn Fn(&Error) + Send + Sync>;

/// The store that was opened.
#[derive(Default)]
pub(super) struct Identity {
    /// The revision at which its `v` was made.
    made: OnceLock<i64>,
    /// What became of it.
    lost: OnceLock<&'static str>,
    on_loss: OnceLock<Tell>,
}

impl Inner {
    /// Calls `tell` once, when the store is found to be lost.
    pub(super) fn on_loss(&self, tell: impl Fn(&Error) + Send + Sync + 'static) {
        // Only a mount sets it, once.
        let _ = self.identity.on_loss.set(Box::new(tell));
    }

    /// Whether an earlier answer told that the store is lost. Costs nothing.
    ///
    /// # Errors
    /// [`StoreFault::Lost`]
    pub(super) fn not_lost(&self) -> Result<()> {
        match self.identity.lost.get() {
            Some(what) => Err(StoreFault::Lost((*what).into()).at(&self.path)),
            None => Ok(()),
        }
    }

    /// What every write compares: that the store which was opened is still there.
    pub(super) fn is_same_store(&self) -> Option<Compare> {
        let made = self.identity.made.get()?;
        let key = self.keys.version();
        Some(Compare::create_revision(key, CompareOp::Equal, *made))
    }

    /// Asks what [`Self::check_there`] looks at.
    pub(super) fn is_there(&self) -> TxnOp {
        let options = GetOptions::new().with_keys_only();
        TxnOp::get(self.keys.version(), Some(options))
    }

    /// Looks at the answer to [`Self::is_there`]. The first one is that of the store that was just opened.
    ///
    /// # Errors
    /// [`StoreFault::Lost`], from then on for ever.
    pub(super) fn check_there(&self, got: Option<&GetResponse>) -> Result<()> {
        let identity = &self.identity;
        let made = got.and_then(|it| it.kvs().first());
        let made = made.map(etcd_client::KeyValue::create_revision);
        let what = match (identity.made.get(), made) {
            (None, Some(now)) => {
                let _ = identity.made.set(now);
                return self.not_lost();
            }
            (Some(then), Some(now)) if *then == now => return self.not_lost(),
            (_, Some(_)) => "another store was made in its place",
            (_, None) => "its keys were removed from the cluster",
        };
        let is_first = identity.lost.set(what).is_ok();
        let lost = self.not_lost();
        if let (true, Err(error), Some(tell)) = (is_first, &lost, identity.on_loss.get()) {
            tell(error);
        }
        lost
    }
}
