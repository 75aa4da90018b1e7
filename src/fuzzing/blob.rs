//! `blob`: what anybody may write into a slot, and what one who holds some of its domains can make.

use super::Input;
use super::payload;
use crate::blob::fuzzing::Insider;
use crate::blob::{Fault, Header, Kind, Root, open, seal};
use crate::secret::Key;

/// Domains that are known here: of the slot, and of its neighbours.
const DOMAINS: usize = 4;

/// The first byte says how the rest is taken: as a blob, as a payload to be sealed and then changed by one without
/// a key, or as one that an insider puts under a good key.
pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => anything(input.rest()),
        1 => sealed_and_changed(&mut input),
        _ => retagged(&mut input),
    }
}

fn root(kind: Kind, number: usize) -> Root {
    let key = Key::make(|key| key.fill(0xd0 + number as u8));
    match kind {
        Kind::ObjectUnderSmk => Root::of_smk(&key),
        Kind::Object | Kind::Smk => Root::of_domain(&key),
    }
}

/// The roots whose bits are set.
fn roots(kind: Kind, set: u8) -> Vec<Root> {
    (0..DOMAINS)
        .filter(|number| set >> number & 1 == 1)
        .map(|number| root(kind, number))
        .collect()
}

/// 1 to 3 domains, or the one SMK.
fn some_set(kind: Kind, choice: u8) -> u8 {
    let set = choice & 0xf;
    match (kind, set.count_ones()) {
        (Kind::Object | Kind::Smk, 1..=3) => set,
        _ => 1 << (choice % 4),
    }
}

/// Whatever opens, at a slot of the first two domains, is what sealing its payload for some set of the domains gives.
fn anything(blob: &[u8]) {
    if let Ok(header) = Header::parse(blob) {
        assert_eq!(blob[..header.to_bytes().len()], header.to_bytes());
    }
    for kind in [Kind::Object, Kind::ObjectUnderSmk, Kind::Smk] {
        let Ok(payload) = open(kind, &roots(kind, 0b0011), blob) else {
            continue;
        };
        let made = (1..1 << DOMAINS)
            .filter_map(|set| seal(kind, &roots(kind, set), payload.bytes()).ok())
            .any(|again| again == blob);
        assert!(made, "it opens, and sealing its payload does not give it");
        payload::run(payload.bytes());
    }
}

/// A sealed blob opens for its members alone; changed anywhere, for nobody.
fn sealed_and_changed(input: &mut Input<'_>) {
    let kind = input.pick(&[Kind::Object, Kind::ObjectUnderSmk, Kind::Smk]);
    let set = some_set(kind, input.byte());
    let edits: Vec<(u16, u8)> = (0..input.byte() % 4)
        .map(|_| (input.u16(), input.byte()))
        .collect();
    let (longer, shorter) = (input.byte() % 8, input.byte() % 8);
    let payload = input.rest();
    let members = roots(kind, set);
    let Ok(blob) = seal(kind, &members, payload) else {
        assert!(payload.is_empty() || payload.len() > crate::codec::MAX_PAYLOAD_BYTES);
        return;
    };
    assert_eq!(Header::parse(&blob).unwrap().blob_bytes(), blob.len());
    for member in members {
        let opened = open(kind, &[member], &blob).expect("a member opens");
        assert_eq!(opened.bytes(), payload);
    }
    for stranger in roots(kind, !set & 0xf) {
        assert_eq!(open(kind, &[stranger], &blob).err(), Some(Fault::NoDomain));
    }
    for other in [Kind::Object, Kind::ObjectUnderSmk, Kind::Smk] {
        assert_eq!(
            open(other, &roots(other, 0xf), &blob).is_ok(),
            other == kind
        );
    }

    let mut changed = blob.clone();
    for (at, bits) in edits {
        let at = usize::from(at) % changed.len();
        changed[at] ^= bits;
    }
    changed.truncate(changed.len() - usize::from(shorter));
    changed.extend(vec![0; longer.into()]);
    if changed != blob {
        assert!(
            open(kind, &roots(kind, 0xf), &changed).is_err(),
            "a change is seen"
        );
    }
}

/// One who holds a domain puts another payload under the key of a blob, all tags and its own stanza right. A slot of
/// that domain decodes it, or refuses it; a slot of the other domains alone never takes it, and a slot of all of them
/// takes only what sealing gives.
fn retagged(input: &mut Input<'_>) {
    let kind = input.pick(&[Kind::Object, Kind::Smk]);
    let (insiders, others) =
        input.pick(&[(0b0001_u8, 0b0010_u8), (0b0001, 0b0110), (0b0101, 0b0010)]);
    let signs = input.flag();
    let first = input.short();
    let second = input.rest();
    let Ok(blob) = seal(kind, &roots(kind, insiders | others), first) else {
        return;
    };
    let inside = roots(kind, insiders);
    let insider = Insider::of(&blob, &inside).expect("a member has the key");
    let Some(forged) = insider.put(second, signs) else {
        return;
    };
    let by_all = open(kind, &roots(kind, insiders | others), &forged);
    assert_eq!(by_all.is_ok(), forged == blob, "one blob for one object");
    match open(kind, &roots(kind, others), &forged) {
        Ok(payload) => {
            assert_eq!(payload.bytes(), first, "another's word is not taken");
            assert_eq!(second, first);
        }
        Err(why) => assert_ne!(second, first, "{why:?}"),
    }
    match open(kind, &inside, &forged) {
        Ok(payload) => {
            assert_eq!(payload.bytes(), second);
            payload::run(payload.bytes());
        }
        Err(why) => assert!(!signs, "an insider's own slot: {why:?}"),
    }
}
