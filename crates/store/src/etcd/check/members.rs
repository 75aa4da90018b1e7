//! What the members of the cluster say of themselves.

use std::time::{Duration, Instant};

use etcd_client::{Txn, TxnOp};

use crate::error::Result;
use crate::etcd::ask::transact;
use crate::etcd::{Inner, ask};

impl Inner {
    pub(super) fn alarms(&self) -> Vec<String> {
        let until = self.client.deadline().settling;
        let alarms = self.admin().ask(until, |client| {
            Box::pin(async move {
                use etcd_client::{AlarmAction, AlarmType};
                let mut client = client.maintenance_client();
                client.alarm(AlarmAction::Get, AlarmType::None, None).await
            })
        });
        match alarms.outcome {
            Err(why) => {
                log::warn!(
                    "the alarms of the cluster were not asked for: {}",
                    ask::fault(why)
                );
                Vec::new()
            }
            Ok(alarms) => alarms
                .alarms()
                .iter()
                .map(|it| {
                    let what = match it.alarm() {
                        etcd_client::AlarmType::Nospace => "NOSPACE, its quota is used up",
                        etcd_client::AlarmType::Corrupt => {
                            "CORRUPT, its data differs from that of others"
                        }
                        _ => "an unknown alarm",
                    };
                    format!("member {:x} of the cluster raised {what}", it.member_id())
                })
                .collect(),
        }
    }

    /// Compares a hash of all keys at one revision over all members. etcd lets only its administrators ask for it.
    pub(super) fn compare_members(&self) -> Vec<String> {
        let revision = match self.raw_revision() {
            Ok(revision) => revision,
            Err(error) => return vec![format!("the members were not compared: {error}")],
        };
        let until = Instant::now() + Duration::from_secs(10);
        let hashes = self.admin().ask_all(until, move |client| {
            Box::pin(async move {
                let hash = client.maintenance_client().hash_kv(revision).await?;
                Ok((hash.hash(), hash.compact_version()))
            })
        });
        let mut known: Option<(String, (u32, i64))> = None;
        let mut found = Vec::new();
        for (member, hash) in hashes {
            match (hash, &known) {
                (Err(why), _) => log::warn!("member {member} of the cluster was not compared: {}", ask::fault(why)),
                (Ok(hash), None) => known = Some((member, hash)),
                // A hash covers what is not compacted.
                (Ok(hash), Some((_, first))) if hash == *first || hash.1 != first.1 => {}
                (Ok(_), Some((first, _))) => found.push(format!(
                    "members {first} and {member} of the cluster hold different data at revision {revision}"
                )),
            }
        }
        found
    }

    fn raw_revision(&self) -> Result<i64> {
        let txn = Txn::new().and_then([TxnOp::get(self.keys.version(), None)]);
        let answer = transact(&self.client, self.client.deadline().settling, txn);
        let answer = answer.outcome.map_err(|why| self.failed(why))?;
        Ok(answer.header().map_or(0, |it| it.revision()))
    }
}
