//! One blob for one object: what a holder of a blob's domains can make of it, and which slots accept that.

use super::*;

/// A blob of `payload` with a stanza of each root, all salts and the tag right, under a key that need not be that of the
/// roots.
fn under(kind: Kind, roots: &[Root], key: &Key, payload: &[u8]) -> Vec<u8> {
    let head = Header::new(kind, roots.len(), payload.len())
        .unwrap()
        .to_bytes();
    let mut stanzas: Vec<Vec<u8>> = roots
        .iter()
        .map(|root| {
            let salt = root.stanza_salt(&head, key, payload);
            [&salt[..], root.wrap(&salt, key).bytes()].concat()
        })
        .collect();
    stanzas.sort();
    assemble(&head, &stanzas, key, payload)
}

/// Domains by the bits of `set`.
fn chosen(set: u8) -> Vec<Root> {
    let numbers = (0..5).filter(|number| set >> number & 1 == 1);
    numbers.map(domain).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// With the right key the blob is that of sealing; with any other, a slot that has all of its domains refuses it.
    #[test]
    fn a_key_that_sealing_does_not_give_is_refused(
        (kind, numbers) in sets(),
        payload in payloads(),
        other in any::<[u8; 32]>(),
        stranger: u64,
    ) {
        let all = roots(kind, &numbers);
        let head = Header::new(kind, all.len(), payload.len()).unwrap().to_bytes();
        let right = derive::object_key(&all, &head, &payload);
        prop_assert_eq!(under(kind, &all, &right, &payload), seal(kind, &all, &payload).unwrap());

        let other = Key::from_slice(&other).unwrap();
        let spelled = under(kind, &all, &other, &payload);
        prop_assert_eq!(open(kind, &all, &spelled).err(), Some(Fault::NotAsSealed));
        let more = [all.clone(), vec![root(kind, stranger)]].concat();
        prop_assert_eq!(open(kind, &more, &spelled).err(), Some(Fault::NotAsSealed));
        // A slot that lacks one of the domains cannot compute the key. What it accepts is the same object.
        for one in &all[1..] {
            let opened = open(kind, std::slice::from_ref(one), &spelled).unwrap();
            prop_assert_eq!(opened.bytes(), &payload);
        }
    }

    /// One who holds some of the domains puts noise, or another key, into the stanzas of the others.
    #[test]
    fn noise_for_a_domain_is_refused_where_it_is_held(
        payload in payloads(),
        count in 2..=3u64,
        spoiled in 1..7u8,
        noise in any::<[u8; 32]>(),
        wraps: bool,
    ) {
        let all: Vec<Root> = (0..count).map(domain).collect();
        let blob = seal(Kind::Object, &all, &payload).unwrap();
        let head = &blob[..HEADER_BYTES];
        let key = derive::object_key(&all, head, &payload);
        let (mut left, mut stanzas) = (Vec::new(), Vec::new());
        for (at, root) in all.iter().enumerate() {
            let spoil = spoiled >> at & 1 == 1;
            let put = match spoil && wraps {
                true => Key::from_slice(&noise).unwrap(),
                false => key.clone(),
            };
            let salt = root.stanza_salt(head, &put, &payload);
            let mut stanza = [&salt[..], root.wrap(&salt, &put).bytes()].concat();
            if spoil && !wraps {
                stanza.iter_mut().zip([noise, noise].concat()).for_each(|(at, noise)| *at ^= noise);
            }
            if !spoil {
                left.push(root.clone());
            }
            stanzas.push(stanza);
        }
        prop_assume!(!left.is_empty() && left.len() < all.len() && noise != [0; 32]);
        stanzas.sort();
        let spelled = assemble(head, &stanzas, &key, &payload);
        prop_assert_eq!(open(Kind::Object, &all, &spelled).err(), Some(Fault::NotAsSealed));
        let with_stranger = [vec![domain(9)], left.clone()].concat();
        for slot in [left, with_stranger] {
            let opened = open(Kind::Object, &slot, &spelled).unwrap();
            prop_assert_eq!(opened.bytes(), &payload);
        }
    }

    /// While domains are rolled over, slots and blobs have each other's domains in part.
    #[test]
    fn what_a_slot_sealed_opens_wherever_one_domain_is_shared(
        sealer in 1..32u8,
        opener in 1..32u8,
        kind in prop_oneof![Just(Kind::Object), Just(Kind::Smk)],
        payload in payloads(),
    ) {
        prop_assume!(sealer.count_ones() <= 3 && opener.count_ones() <= 3);
        let blob = seal(kind, &chosen(sealer), &payload).unwrap();
        let opened = open(kind, &chosen(opener), &blob);
        match sealer & opener {
            0 => prop_assert_eq!(opened.err(), Some(Fault::NoDomain)),
            _ => {
                let opened = opened.unwrap();
                prop_assert_eq!(opened.bytes(), &payload);
            }
        }
    }
}
