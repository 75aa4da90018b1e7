//! Certificates of members and of hosts, made by openssl for one test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::fixture::run;

/// A certificate authority with a certificate for the members and one for a host, `client`.
pub struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// For members at these addresses.
    #[track_caller]
    pub fn new(addresses: &[String]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("slotfs-ca-")
            .tempdir()
            .unwrap();
        let certificates = Self { dir };
        certificates.authority("ca");
        let names: Vec<String> = addresses.iter().map(|it| format!("IP:{it}")).collect();
        let names = format!("subjectAltName={}", names.join(","));
        certificates.sign("ca", "member", 2, &names);
        certificates.sign("ca", "client", 2, "extendedKeyUsage=clientAuth");
        certificates
    }

    #[track_caller]
    pub fn authority(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 {KEY} -keyout {name}.key -out {name}.pem -subj /CN={name} -days 2"
        ));
    }

    /// A certificate `name`, signed by that authority; a negative number of days makes one that has expired.
    #[track_caller]
    pub fn sign(&self, authority: &str, name: &str, days: i32, extension: &str) {
        std::fs::write(self.path(&format!("{name}.ext")), extension).unwrap();
        self.openssl(&format!(
            "req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial \
             -days {days} -extfile {name}.ext -out {name}.pem"
        ));
    }

    #[track_caller]
    fn openssl(&self, line: &str) {
        let mut command = Command::new("openssl");
        command
            .args(line.split_whitespace())
            .current_dir(self.dir.path());
        run(&mut command).ok();
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// The arguments of a member.
    pub fn of_a_member(&self) -> Vec<String> {
        let mut arguments = vec!["--client-cert-auth".to_owned()];
        for (option, file) in [
            ("--cert-file", "member.pem"),
            ("--key-file", "member.key"),
            ("--trusted-ca-file", "ca.pem"),
        ] {
            arguments.extend([option.to_owned(), text(&self.path(file))]);
        }
        arguments
    }

    /// The options of a location.
    pub fn of_a_client(&self) -> [(&'static str, PathBuf); 3] {
        self.of("ca", "client")
    }

    /// The same with another authority or another certificate.
    pub fn of(&self, authority: &str, name: &str) -> [(&'static str, PathBuf); 3] {
        [
            ("ca", self.path(&format!("{authority}.pem"))),
            ("cert", self.path(&format!("{name}.pem"))),
            ("key", self.path(&format!("{name}.key"))),
        ]
    }

    pub fn of_etcdctl(&self) -> [String; 6] {
        [
            "--cacert".into(),
            text(&self.path("ca.pem")),
            "--cert".into(),
            text(&self.path("client.pem")),
            "--key".into(),
            text(&self.path("client.key")),
        ]
    }
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
