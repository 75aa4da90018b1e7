//! The operations, each dying at each of its points, and what must be true afterwards.

use std::collections::BTreeSet;

use super::base::Base;
use super::check::{Blobs, Seen, look};
use super::points::{cut, points};
use super::run::{Operation, Run};
use crate::disk::{Image, Kind};

pub type Judge = fn(&Case<'_>) -> Result<(), String>;

/// What a judge goes by.
pub struct Case<'a> {
    before: &'a Seen,
    /// After the run that nothing disturbed.
    after: &'a Seen,
    now: &'a Seen,
    run: &'a Run,
}

/// What becomes of the secrets of slot 0.
#[derive(Clone, Copy)]
pub enum Secrets {
    Stay,
    /// That of this role may have changed.
    Change(&'static str),
}

/// How often a point is tried.
const RUNS: usize = 3;

pub fn die_at_each_point(
    name: &str,
    base: &Base,
    operation: Operation,
    secrets: Secrets,
    judge: Judge,
) {
    let changed = match secrets {
        Secrets::Stay => None,
        Secrets::Change(role) => Some(role),
    };
    let clean = operation.run(base, None);
    assert!(clean.done);
    let before = look(base, &base.image(), changed, &clean.new_shares);
    let after = look(base, &clean.last, changed, &clean.new_shares);
    let judge = |now: &Seen, run: &Run| {
        judge(&Case {
            before: &before,
            after: &after,
            now,
            run,
        })
    };
    judge(&after, &clean).unwrap();

    let durable = clean
        .steps
        .iter()
        .filter(|it| it.is_durable_point())
        .count();
    let writes = clean.steps.iter().filter(|it| **it == Kind::Write).count();
    let points = points(&clean.steps);
    let (mut late, mut looked, mut same) = (0, 0, 0);
    for point in &points {
        let mut run = operation.run(base, Some(cut(point)));
        // Two runs may share a commit differently: one can be over before the point comes. The next one may not be.
        for _ in 1..RUNS {
            if run.images.is_none() {
                run = operation.run(base, Some(cut(point)));
            }
        }
        let images = run.images.take().unwrap_or_else(|| {
            late += 1;
            Vec::new()
        });
        let mut known: BTreeSet<Image> = BTreeSet::new();
        for (survives, mut image) in images {
            let (step, when, _) = point;
            image.remove("store.db-shm");
            if !known.insert(image.clone()) {
                same += 1;
                continue;
            }
            eprintln!(
                "{name}: step {step} ({:?}), {when:?}, {survives:?}, acknowledged {:?}",
                clean.steps[*step], run.acknowledged
            );
            let now = look(base, &image, changed, &run.new_shares);
            looked += 1;
            if let Err(wrong) = judge(&now, &run) {
                panic!("{wrong}");
            }
        }
    }
    println!(
        "| {name} | {durable} | {writes} | {} | {looked} | {same} | {late} |",
        points.len()
    );
    assert!(late * 4 <= points.len(), "{late} points were never reached");
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn keys(blobs: &Blobs) -> Vec<&String> {
    blobs.keys().collect()
}

/// Slot 0 is as it was; slot 1 holds what was acknowledged, and nothing that is not an object of slot 0.
fn copied(case: &Case<'_>) -> Result<(), String> {
    require(case.now.zero == case.before.zero, || {
        "the source changed".into()
    })?;
    for (name, blob) in &case.now.one {
        require(case.before.zero.get(name) == Some(blob), || {
            format!("{name} is not what was copied")
        })?;
    }
    let there = keys(&case.now.one);
    for name in acknowledged(case.run) {
        require(there.contains(&&name), || {
            format!("{name} was acknowledged and is lost")
        })?;
    }
    require(!case.run.done || case.now.one == case.before.zero, || {
        "all was acknowledged and something is lost".into()
    })
}

/// The names in lines `NAME`, or `Handle H on slot 0 is now handle NAME on slot 1`.
fn acknowledged(run: &Run) -> Vec<String> {
    let name = |line: &String| {
        let name = match line.split_once("is now handle ") {
            Some((_, rest)) => rest.split(' ').next()?,
            None => line,
        };
        name.parse::<u32>().ok().map(|name| name.to_string())
    };
    run.acknowledged.iter().filter_map(name).collect()
}

/// Each object is in exactly one slot, and in slot 1 when that was acknowledged.
fn moved(case: &Case<'_>) -> Result<(), String> {
    let mut all = case.now.zero.clone();
    for (name, blob) in &case.now.one {
        require(all.insert(name.clone(), blob.clone()).is_none(), || {
            format!("{name} is in both slots")
        })?;
    }
    require(all == case.before.zero, || {
        format!("{:?} of {:?} are left", keys(&all), keys(&case.before.zero))
    })?;
    for name in acknowledged(case.run) {
        require(case.now.one.contains_key(&name), || {
            format!("the move of {name} was acknowledged and undone")
        })?;
    }
    Ok(())
}

/// What was acknowledged is gone from the slot; beside it at most the one that was under way.
fn removed(case: &Case<'_>) -> Result<(), String> {
    let acknowledged = acknowledged(case.run);
    let under_way = case
        .before
        .zero
        .keys()
        .find(|it| !acknowledged.contains(it));
    for (name, blob) in &case.before.zero {
        let now = case.now.zero.get(name);
        match now {
            Some(_) if acknowledged.contains(name) => {
                return Err(format!("{name} was removed and is back"));
            }
            Some(now) => require(now == blob, || format!("{name} changed"))?,
            None => require(
                (acknowledged.contains(name) || under_way == Some(name))
                    && case.now.trash.contains(name),
                || format!("{name} is lost"),
            )?,
        }
        require(now.is_none() || !case.now.trash.contains(name), || {
            format!("{name} is in the slot and in its trash")
        })?;
    }
    require(case.now.one == case.before.one, || "slot 1 changed".into())
}

/// Each object that was in the trash is there or back, as it was; never neither and never both.
fn restored(case: &Case<'_>) -> Result<(), String> {
    for name in &case.before.trash {
        let (there, back) = (
            case.now.trash.contains(name),
            case.now.zero.contains_key(name),
        );
        require(there != back, || {
            format!("{name}: in the trash {there}, in the slot {back}")
        })?;
        require(
            !back || case.now.zero[name] == case.after.zero[name],
            || format!("{name} came back as another"),
        )?;
    }
    for name in acknowledged(case.run) {
        require(case.now.zero.contains_key(&name), || {
            format!("the return of {name} was acknowledged and undone")
        })?;
    }
    require(
        keys(&case.before.zero)
            .iter()
            .all(|it| case.now.zero.contains_key(*it)),
        || "what was not in the trash is lost".into(),
    )
}

/// Each object of slot 0 is in its earlier revision, or in the later one with the earlier one in the trash; in the later
/// one when that was acknowledged.
fn revised(case: &Case<'_>) -> Result<(), String> {
    let acknowledged = acknowledged(case.run);
    require(keys(&case.now.zero) == keys(&case.before.zero), || {
        format!("{:?} are left", keys(&case.now.zero))
    })?;
    for (name, blob) in &case.now.zero {
        let in_trash = case.now.trash.contains(name);
        let earlier = *blob == case.before.zero[name] && !in_trash;
        let later = *blob == case.before.one[name] && in_trash;
        require(earlier || later, || format!("{name}: neither nor"))?;
        require(later || !acknowledged.contains(name), || {
            format!("{name} was acknowledged and is as before")
        })?;
    }
    require(case.now.one == case.before.one, || "slot 1 changed".into())
}

/// What was destroyed in the trash is gone when it was said so; nothing else with it.
fn destroyed(case: &Case<'_>) -> Result<(), String> {
    let acknowledged = acknowledged(case.run);
    for name in &case.before.trash {
        require(
            !(acknowledged.contains(name) && case.now.trash.contains(name)),
            || format!("{name} was destroyed and is back"),
        )?;
    }
    require(
        case.now.trash.len() + acknowledged.len() + 1 >= case.before.trash.len(),
        || {
            format!(
                "of {:?} only {:?} are left",
                case.before.trash, case.now.trash
            )
        },
    )?;
    require(case.now.zero == case.before.zero, || {
        "the slot changed".into()
    })
}

/// As before or as after, all objects alike, and as after when that was acknowledged.
pub fn before_or_after(case: &Case<'_>) -> Result<(), String> {
    let done = case.now == case.after;
    require(done || case.now == case.before, || {
        format!(
            "neither as before nor as after: {:?} {:?}",
            keys(&case.now.zero),
            keys(&case.now.one)
        )
    })?;
    require(done || !case.run.done, || {
        "it was acknowledged and undone".into()
    })
}

/// "the object is durable on disk before the request that brings the verdict is answered".
#[test]
fn cp_dies_at_each_point() {
    die_at_each_point(
        "`cp` of 5 objects",
        &Base::with_keys(4),
        Operation::Mounted(
            r#"for f in "$M"/0/*; do cp "$f" "$M"/1/ && echo "${f##*/}" >> "$A" || exit 1; done"#,
        ),
        Secrets::Stay,
        copied,
    );
}

/// The same for rsync, which writes beside and renames.
#[test]
fn rsync_dies_at_each_point() {
    die_at_each_point(
        "`rsync -a` of 5 objects",
        &Base::with_keys(4),
        Operation::Mounted(r#"rsync -a "$M"/0/ "$M"/1/"#),
        Secrets::Stay,
        copied,
    );
}

/// "clone and removal of the source in one transaction: both or neither".
#[test]
fn mv_dies_at_each_point() {
    die_at_each_point(
        "`mv` of 4 objects to another slot",
        &Base::with_keys(3),
        Operation::Mounted(
            r#"for f in "$M"/0/*; do mv "$f" "$M"/1/ && echo "${f##*/}" >> "$A" || exit 1; done"#,
        ),
        Secrets::Stay,
        moved,
    );
}

/// `rm`: gone from the slot's folder when it says so, and nothing else with it.
#[test]
fn rm_dies_at_each_point() {
    die_at_each_point(
        "`rm` of 3 objects of 5",
        &Base::with_keys(4),
        Operation::Mounted(r#"for f in 1 2 3; do rm "$M"/0/$f && echo $f >> "$A" || exit 1; done"#),
        Secrets::Stay,
        removed,
    );
}

/// "there `mv` back restores it"
#[test]
fn a_restore_dies_at_each_point() {
    die_at_each_point(
        "`mv` of 3 objects out of the trash",
        &Base::with_trash(5, 3),
        Operation::Mounted(
            r#"for f in 1 2 3; do mv "$M"/0/.slotfs/trash/$f "$M"/0/ && echo $f >> "$A" || exit 1; done"#,
        ),
        Secrets::Stay,
        restored,
    );
}

/// "it replaces the stored one under its handle. The replaced revision goes to the trash"
#[test]
fn a_revision_dies_at_each_point() {
    die_at_each_point(
        "`cp` of later revisions of 3 objects",
        &Base::with_revisions(3),
        Operation::Mounted(
            r#"for f in 1 2 3; do cp "$M"/1/$f "$M"/0/ && echo $f >> "$A" || exit 1; done"#,
        ),
        Secrets::Stay,
        revised,
    );
}

/// "and `rm` destroys it at once"
#[test]
fn destroying_dies_at_each_point() {
    die_at_each_point(
        "`rm` of 3 objects in the trash",
        &Base::with_trash(5, 3),
        Operation::Mounted(
            r#"for f in 1 2 3; do rm "$M"/0/.slotfs/trash/$f && echo $f >> "$A" || exit 1; done"#,
        ),
        Secrets::Stay,
        destroyed,
    );
}

/// Every line "is now handle" that was printed is true afterwards.
#[test]
fn clone_dies_at_each_point() {
    die_at_each_point(
        "`partition clone` of 6 objects",
        &Base::with_keys(5),
        Operation::Command(
            "--active-slot 0 partition clone -o all -s 1 -f --password-file 0=pw-0 --password-file 1=pw-1",
        ),
        Secrets::Stay,
        copied,
    );
}

/// The same with so much that SQLite checkpoints while it goes on.
#[test]
fn a_clone_past_a_checkpoint_dies_at_each_point() {
    let base = Base::empty();
    let file = base.store().path("large");
    std::fs::write(&file, vec![0x5a; 60_000]).unwrap();
    // Each with a label of its own: 70 objects of 15 pages are more than the 1,000 pages of a checkpoint.
    let script: String = (0..70)
        .map(|i| format!("object import -type data -file large -label l{i} -slot 0\n"))
        .collect();
    let out = crate::fixture::run_with_input(
        &mut base.store().command(&["--password-file", "0=pw-0"]),
        format!("role login -name co -slot 0\n{script}").as_bytes(),
    );
    out.ok();
    die_at_each_point(
        "`partition clone` of 70 objects of 60 kB",
        &base,
        Operation::Command(
            "--active-slot 0 partition clone -o all -s 1 -f --password-file 0=pw-0 --password-file 1=pw-1",
        ),
        Secrets::Stay,
        copied,
    );
}

/// A change of domains changes every blob of the slot, or none.
#[test]
fn domainadd_dies_at_each_point() {
    die_at_each_point(
        "`partition domainadd`",
        &Base::with_keys(2),
        Operation::Command(
            "partition domainadd -domainkey blue.pem -domainlabel blue -slot 0 --password-file 0:po=pw-0",
        ),
        Secrets::Stay,
        before_or_after,
    );
}

/// The same for a domain that goes.
#[test]
fn domaindelete_dies_at_each_point() {
    let base = Base::with_keys(2);
    let add = "partition domainadd -domainkey blue.pem -domainlabel blue -slot 0 --password-file 0:po=pw-0";
    base.store().run(add).ok();
    die_at_each_point(
        "`partition domaindelete`",
        &base,
        Operation::Command(
            "partition domaindelete -domainlabel blue -force -slot 0 --password-file 0:po=pw-0",
        ),
        Secrets::Stay,
        before_or_after,
    );
}
