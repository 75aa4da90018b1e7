//! Keys that are made, cloned and used.

use super::{NO_OBJECT, Served};
use crate::fixture::password;

/// On a mount: the daemon serves the module, `cp` clones the key, and both slots sign with it.
#[test]
fn a_key_signs_in_its_slot_and_in_the_one_it_is_cloned_to() {
    let served = Served::new();
    let mount = served.store.start(&[0, 1]);
    served
        .tool(
            0,
            "--keypairgen --key-type EC:prime256v1 --id 11 --label payments --usage-sign",
        )
        .ok();
    served
        .sh("printf message >data; openssl dgst -sha256 -binary data >hash")
        .ok();
    served.sh("cp mnt/0/[0-9]* mnt/1/").ok();
    for slot in [0, 1] {
        served
            .tool(
                slot,
                "--sign --mechanism ECDSA --signature-format openssl --id 11 -i hash -o signature",
            )
            .ok();
        // The public key of the other slot is the same.
        served
            .sh(&format!(
                "for key in mnt/{}/.slotfs/public/*.pem; do openssl dgst -sha256 -verify $key -signature signature data; done",
                1 - slot
            ))
            .ok();
    }
    // Nobody else was started to serve.
    assert_eq!(served.servers(), [mount.pid()]);
}

/// RSA as well, through openssl and its engine, by a server that the module starts.
#[test]
fn openssl_signs_by_its_engine() {
    let served = Served::new();
    served
        .tool(
            0,
            "--keypairgen --key-type rsa:2048 --id 12 --label tls --usage-sign",
        )
        .ok();
    served
        .tool(0, "--read-object --type pubkey --id 12 -o public.der")
        .ok();
    let key = format!(
        "pkcs11:token=slot0;id=%12;type=private;pin-value={}",
        password(0).replace(' ', "%20")
    );
    served
        .sh(&format!(
            "printf message >data
            PKCS11_MODULE_PATH=$MODULE openssl dgst -sha256 -engine pkcs11 -keyform engine -sign '{key}' -out signature data
            openssl dgst -sha256 -verify <(openssl pkey -pubin -inform der -in public.der) -signature signature data"
        ))
        .ok();
    assert_eq!(served.servers().len(), 1);
}

#[test]
fn a_key_that_a_command_makes_is_found_by_the_next_search() {
    let served = Served::new();
    let mut application = served.driven(0);
    application.ok("open");
    assert_eq!(application.ok("find 21"), "");
    served
        .store
        .run_in(
            0,
            "object generate -type ec -curve p256 -label made -id 21 -attribute sign=true",
        )
        .ok();
    let found = application.ok("find 21");
    assert!(!found.is_empty() && !found.contains(' '), "{found:?}");
    application.ok(&format!("sign {found}"));
}

#[test]
fn a_key_that_a_command_destroys_signs_no_more() {
    let served = Served::new();
    let mut application = served.driven(0);
    application.ok("open");
    let key = application.ok("generate 22");
    application.ok(&format!("sign {key}"));
    served
        .store
        .run_in(0, &format!("object delete -handle {key} -force"))
        .ok();
    let answer = application.says(&format!("sign {key}"));
    assert!(NO_OBJECT.contains(&answer.as_str()), "{answer}");
    assert_eq!(application.ok("find 22"), "");
    // The application goes on.
    let other = application.ok("generate 23");
    application.ok(&format!("sign {other}"));
}

#[test]
fn a_key_that_another_application_makes_and_destroys_comes_and_goes() {
    let served = Served::new();
    let (mut one, mut two) = (served.driven(0), served.driven(0));
    one.ok("open");
    two.ok("open");
    assert_eq!(two.ok("find 24"), "");
    let key = one.ok("generate 24");
    assert_eq!(two.ok("find 24"), key, "a handle is the same for all");
    two.ok(&format!("sign {key}"));
    one.ok(&format!("destroy {key}"));
    let answer = two.says(&format!("sign {key}"));
    assert!(NO_OBJECT.contains(&answer.as_str()), "{answer}");
}
