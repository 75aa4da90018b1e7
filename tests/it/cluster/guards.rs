//! Who is let in, and which members are used: certificates, versions, names.

use super::certificates::Certificates;
use super::fixture::{NAME, SHORT, Site};
use super::members::{Cluster, Plan, location};
use super::proxy::Proxies;
use crate::fixture::{Out, Store};
use crate::pkcs11::Served;

fn with_certificates() -> Cluster {
    Cluster::of(Plan {
        certificates: Some(Certificates::new(&["127.0.0.1".to_owned()])),
        ..Plan::default()
    })
}

#[track_caller]
fn list(site: &Site, location: String) -> Out {
    site.host_at(location).run("slot list")
}

#[test]
fn a_host_needs_a_certificate_of_the_members_authority() {
    let site = Site::over(with_certificates(), 1);
    let cluster = &site.cluster;
    let certificates = cluster.certificates();
    certificates.authority("another");
    certificates.sign("another", "stranger", 2, "extendedKeyUsage=clientAuth");
    certificates.sign("ca", "late", -1, "extendedKeyUsage=clientAuth");
    let at = |authority: &str, name: &str| {
        let certificates = certificates.of(authority, name);
        location(&cluster.clients(), NAME, Some(certificates), &[SHORT])
    };
    list(&site, at("ca", "client")).ok();
    for (what, location) in [
        ("a certificate of another authority", at("ca", "stranger")),
        ("a certificate that has expired", at("ca", "late")),
        ("members of another authority", at("another", "client")),
    ] {
        let out = list(&site, location);
        assert!(out.code != 0, "{what}: {out:?}");
        assert!(!out.text().contains("slot0"), "{what}: {out:?}");
    }
    // None at all.
    let authority = certificates.path("ca.pem");
    let endpoints = cluster.clients().join(",");
    for options in [
        format!("?ca={}&{SHORT}", authority.display()),
        format!("?{SHORT}"),
    ] {
        let out = list(&site, format!("etcd://{endpoints}/{NAME}{options}"));
        assert!(out.code != 0, "{options}: {out:?}");
    }
    // The first is still let in, and all that was tried changed nothing.
    list(&site, at("ca", "client")).ok();
    site.check();
}

/// A server that an application's module starts is given the whole location: without its options, nobody would let it in.
#[test]
fn a_server_that_the_module_starts_has_the_certificate() {
    let site = Site::over(with_certificates(), 1);
    let served = Served::of(site.host(&[SHORT]));
    served
        .tool(0, "--keygen --key-type aes:32 --label by-module")
        .ok();
    assert_eq!(served.servers().len(), 1);
    let out = served.tool(0, "--list-objects").ok();
    assert!(out.stdout.contains("by-module"), "{out:?}");
    drop(served);
    site.check();
}

/// Nor would anybody let in the server that `login` starts.
#[test]
fn a_server_that_login_starts_has_the_certificate() {
    let site = Site::over(with_certificates(), 1);
    let host = site.host(&[SHORT]);
    host.run("login -slot 0 -role co --password-file 0=pw-0")
        .ok();
    let served = Served::of(host);
    assert_eq!(served.servers().len(), 1);
    let out = served.tool(0, "--list-objects").ok();
    assert!(out.stdout.contains("key"), "{out:?}");
    drop(served);
    site.check();
}

/// fstab(5) knows a mount by its source: what was given, without what `-o` adds to it.
#[test]
fn the_source_of_a_mount_is_the_location_as_it_was_given() {
    let site = Site::new(1);
    let host = site.host(&["fresh=1"]);
    let given = host.relative().to_str().unwrap().to_owned();
    let line = "mount mnt -o engine-timeout=5,fresh=0 --login 0 --password-file 0=pw-0";
    host.run(line).ok();
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let point = host.path("mnt");
    let entry = table
        .lines()
        .find(|line| line.contains(point.to_str().unwrap()))
        .unwrap();
    assert_eq!(crate::fixture::names(&point.join("0")), ["1"]);
    host.run("umount mnt").ok();
    assert!(entry.contains(&format!(" {given} ")), "{entry}");
}

#[test]
fn clear_text_is_for_loopback_alone() {
    let store = Store::of_file();
    // An address for documentation: nobody is asked.
    let out = store
        .bare(&["--store", "etcd://192.0.2.1:2379/keys", "slot", "list"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success(), "{said}");
    assert!(said.contains("ca=") || said.contains("loopback"), "{said}");
}

/// "etcd below 3.4.22, and 3.5.0 to 3.5.5 are refused at open"
#[test]
fn members_that_lose_commits_are_refused() {
    let site = Site::new(1);
    let proxies = Proxies::before(&site.cluster.clients());
    let real = site.cluster.version();
    for (version, is_refused) in [
        ("3.4.21", true),
        ("3.3.27", true),
        ("3.5.0", true),
        ("3.5.1", true),
        ("3.5.5", true),
        ("3.4.23", false),
        ("3.5.28", false),
        ("3.6.9", false),
        ("3.10.0", false),
    ] {
        proxies.pretend_version(&real, version);
        let location = location(proxies.addresses(), NAME, None, &[]);
        let out = list(&site, location);
        assert_eq!(out.code != 0, is_refused, "{version}: {out:?}");
        if is_refused {
            assert!(out.stderr.contains(version), "{version}: {out:?}");
        }
    }
}

/// Two stores of one cluster know nothing of each other, also when one's name begins with the other's.
#[test]
fn names_are_apart() {
    let site = Site::new(2);
    for name in ["key", "keys2", "keys-2"] {
        let mut other = Store::of_file();
        other.use_file(site.cluster.location(name, &[]));
        let out = other.run("slot list");
        assert!(out.code != 0, "{name} is there: {out:?}");
        other.slot(0, "red");
        other.aes(0, 1);
        let mount = other.start(&[0]);
        assert_eq!(crate::fixture::names(&mount.point.join("0")).len(), 1);
    }
    let (_host, fresh) = site.fresh_mount();
    assert_eq!(crate::fixture::names(&fresh.point.join("0")).len(), 2);
    site.check();
}

#[test]
fn locations_that_are_none_are_usage_errors() {
    let store = Store::of_file();
    store.domain("red");
    for location in [
        "etcd://",
        "etcd:///keys",
        "etcd://127.0.0.1:2379",
        "etcd://127.0.0.1:2379/",
        "etcd://127.0.0.1:port/keys",
        "etcd://127.0.0.1:2379/a/b",
        "etcd://127.0.0.1:2379/keys?unknown=1",
        "etcd://127.0.0.1:2379/keys?engine-timeout=soon",
        // What was meant as a location becomes no file.
        "ETCD://127.0.0.1:2379/keys",
        "etcd:/127.0.0.1:2379/keys",
        "etcd:127.0.0.1:2379/keys",
        "https://127.0.0.1:2379/keys",
    ] {
        let init = "partition init -slot 0 -label a -password secret-enough -domainkey red.pem";
        let out = store
            .bare(&["--store", location])
            .args(init.split(' '))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{location}: {said}");
        assert!(!said.contains("panicked"), "{location}: {said}");
        assert!(
            crate::fixture::names(&store.path(""))
                .iter()
                .all(|it| !it.to_lowercase().starts_with("etcd") && !it.starts_with("http"))
        );
    }
}
