//! Where an operation dies: counted first, then tried.

use crate::disk::{Cut, Kind, Survives, When};

/// So many syncs, and so many other points of each sort, are tried unless all are asked for: every sync of all but the
/// longest. Fewer of a run with many steps, which costs more.
const SAMPLE: (usize, usize) = (24, 4);
const SAMPLE_OF_MANY: (usize, usize) = (4, 2);
const MANY: usize = 1000;

/// Where, and what to keep of that moment.
pub type Point = (usize, When, Vec<Survives>);

/// The points that are tried of a run that took these steps.
pub fn points(steps: &[Kind]) -> Vec<Point> {
    let at = |wanted: fn(&Kind) -> bool| -> Vec<usize> {
        let found = steps.iter().enumerate().filter(|(_, kind)| wanted(kind));
        found.map(|(step, _)| step).collect()
    };
    let (most_syncs, most) = match steps.len() {
        ..MANY => SAMPLE,
        _ => SAMPLE_OF_MANY,
    };
    let syncs = sample(at(|kind| kind.is_durable_point()), most_syncs);
    let last_sync = syncs.last().copied();
    let writes = sample(at(|kind| *kind == Kind::Write), most);
    let others = sample(at(|kind| *kind == Kind::Other), most);
    let mut points = Vec::new();
    for step in syncs {
        let seed = step as u64;
        points.push((
            step,
            When::Before,
            vec![
                Survives::Everything,
                Survives::Synced,
                Survives::Names,
                Survives::Sectors(seed),
                Survives::Sectors(!seed),
            ],
        ));
        // What is durable after one is what is durable before the next.
        if Some(step) == last_sync {
            points.push((
                step,
                When::After,
                vec![Survives::Everything, Survives::Synced],
            ));
        }
    }
    for step in writes {
        let seed = step as u64;
        points.push((
            step,
            When::After,
            vec![
                Survives::Torn(seed),
                Survives::TornGarbage(seed),
                Survives::Sectors(seed),
            ],
        ));
    }
    for step in others {
        points.push((
            step,
            When::After,
            vec![
                Survives::Everything,
                Survives::Synced,
                Survives::Sectors(step as u64),
            ],
        ));
    }
    points
}

pub fn cut((step, when, keep): &Point) -> Cut {
    Cut {
        step: *step,
        when: *when,
        keep: keep.clone(),
    }
}

/// Evenly, with the first and the last.
fn sample(all: Vec<usize>, most: usize) -> Vec<usize> {
    if std::env::var_os("SLOTFS_CRASH_ALL").is_some() || all.len() <= most {
        return all;
    }
    let last = all.len() - 1;
    (0..most).map(|i| all[i * last / (most - 1)]).collect()
}
