//! `payload`: the bytes inside a sealed blob, after they were found authentic. Their writer holds a domain, and may
//! be hostile all the same.

use crate::codec::{self, PayloadFault};
use crate::keyfile::export::{Exported, export};
use crate::keyfile::import::import;
use crate::object::new::Naming;
use crate::object::pkcs11::{CKA_LABEL, CKO_PRIVATE_KEY, CKO_SECRET_KEY};
use crate::object::revision::{MOST_REVISIONS, Relation, relation};
use crate::object::{Attribute, Object, show};
use crate::secret::SecretBytes;

/// The data is the payload.
pub(super) fn run(data: &[u8]) {
    match codec::decode(data) {
        Ok(object) => {
            let again = codec::encode(&object).expect("what decodes encodes");
            assert_eq!(
                again.bytes(),
                data,
                "what decodes encodes to the same bytes"
            );
            assert!(object.is_well_formed());
            shows_no_secret(&object);
            exports_no_secret(&object);
            is_replaced_by_its_revision(&object);
        }
        Err(PayloadFault::Version(version)) => assert_eq!(data.first(), Some(&version)),
        Err(PayloadFault::Revision(number)) => assert!(number > MOST_REVISIONS),
        Err(PayloadFault::Malformed | PayloadFault::NotCanonical) => {}
    }
}

/// What is shown of an object is one line a fact, and says of a secret how long it is and no more.
pub(super) fn shows_no_secret(object: &Object) {
    let mut hidden = object.clone();
    for value in hidden.attributes.values_mut() {
        if let Attribute::Secret(secret) = value {
            secret.bytes_mut().fill(0x5a);
        }
    }
    let shown = show::attributes(object);
    assert_eq!(
        shown,
        show::attributes(&hidden),
        "what is shown does not depend on secret values"
    );
    assert_eq!(show::json(object), show::json(&hidden));
    for (name, value) in shown {
        assert!(
            !name.contains(char::is_control) && !value.contains(char::is_control),
            "{name:?}: {value:?}"
        );
    }
}

/// Whatever decodes: what a slot makes of it takes its place, and gives way to nothing before it.
fn is_replaced_by_its_revision(object: &Object) {
    let label = Attribute::Text("described".to_owned());
    let Ok(Some(next)) = object.revised(&[(CKA_LABEL, Some(label))], 0) else {
        return;
    };
    assert_eq!(relation(&next, object), Relation::Successor);
    assert_eq!(relation(object, &next), Relation::Predecessor);
    let payload = codec::encode(&next).expect("a revision encodes");
    assert_eq!(codec::decode(payload.bytes()).as_ref(), Ok(&next));
}

/// What leaves in the clear is no secret key, and of a private key what reads back as a public one.
fn exports_no_secret(object: &Object) {
    let Ok(exported) = export(object) else {
        return;
    };
    assert_ne!(object.class, CKO_SECRET_KEY, "secret keys stay");
    if object.class == CKO_PRIVATE_KEY {
        let Exported::PublicKey(info) = exported else {
            panic!("of a private key there is a public half and nothing else");
        };
        let file = SecretBytes::new(info);
        import(&file, None, &Naming::default(), None).expect("a public half reads back");
    }
}
