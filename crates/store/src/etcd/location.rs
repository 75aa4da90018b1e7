//! The location of a store in a cluster: `etcd://HOST:PORT,HOST:PORT,…/NAME?ca=FILE&cert=FILE&key=FILE`.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a request may take, unless the location says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest name of a store.
const MOST_NAME_BYTES: usize = 64;

/// A store's name, and how its cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    /// `host:port` of each member.
    pub(super) endpoints: Vec<String>,
    /// The store in the cluster.
    pub(super) name: String,
    /// Who signed the members' certificates; without it there is no TLS, and only this host is reached.
    pub(super) ca: Option<PathBuf>,
    /// This host's certificate and its key.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
    /// The certificate and key of an administrator of the cluster, whom `store check` needs.
    pub(super) admin: Option<(PathBuf, PathBuf)>,
    /// How long a request may take.
    pub(super) timeout: Duration,
    /// How old a read may be; zero asks the cluster each time.
    pub(super) fresh: Duration,
    /// The members' `--quota-backend-bytes`.
    pub(super) quota: Option<u64>,
}

impl Location {
    /// # Errors
    /// In words.
    pub(super) fn parse(store: &Path) -> Result<Self, String> {
        let text = store.to_str().ok_or("its location is not UTF-8")?;
        let rest = text.strip_prefix("etcd://").ok_or("it is not etcd://…")?;
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, name) = place
            .split_once('/')
            .ok_or("it names no store; write etcd://HOST:PORT,…/NAME")?;
        if !is_name(name) {
            return Err(format!(
                "'{name}' is no name of a store: 1 to {MOST_NAME_BYTES} letters, digits, '-', '_' or '.'"
            ));
        }
        let mut location = Self {
            endpoints: Vec::new(),
            name: name.to_owned(),
            ca: None,
            identity: None,
            admin: None,
            timeout: DEFAULT_TIMEOUT,
            fresh: super::FRESH_FOR,
            quota: None,
        };
        for host in hosts.split(',') {
            if !is_endpoint(host) {
                return Err(format!("'{host}' is not HOST:PORT"));
            }
            if location.endpoints.iter().any(|it| it == host) {
                return Err(format!("{host} is there twice"));
            }
            location.endpoints.push(host.to_owned());
        }
        location.take_options(options)?;
        location.check_transport()?;
        Ok(location)
    }

    fn take_options(&mut self, options: &str) -> Result<(), String> {
        let (mut cert, mut key, mut admin_cert, mut admin_key) = (None, None, None, None);
        let mut seen = Vec::new();
        for option in options.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = option
                .split_once('=')
                .ok_or_else(|| format!("its option '{option}' has no value"))?;
            if seen.contains(&name) {
                return Err(format!("its option '{name}' is there twice"));
            }
            seen.push(name);
            let file = || match value {
                "" => Err(format!("its option '{name}' names no file")),
                file => Ok(Some(PathBuf::from(file))),
            };
            match name {
                "ca" => self.ca = file()?,
                "cert" => cert = file()?,
                "key" => key = file()?,
                "admin-cert" => admin_cert = file()?,
                "admin-key" => admin_key = file()?,
                "engine-timeout" => self.timeout = seconds(value)?,
                "fresh" => self.fresh = milliseconds(value)?,
                "quota" => self.quota = Some(bytes(value)?),
                _ => {
                    return Err(format!(
                        "it has no option '{name}'; there are ca, cert, key, admin-cert, admin-key, engine-timeout, fresh and quota"
                    ));
                }
            }
        }
        self.identity = both(cert, key, "cert", "key")?;
        self.admin = both(admin_cert, admin_key, "admin-cert", "admin-key")?;
        Ok(())
    }

    /// Everything goes over TLS, unless it stays on this host.
    fn check_transport(&self) -> Result<(), String> {
        if self.ca.is_some() {
            return match self.identity {
                Some(_) => Ok(()),
                None => Err("it needs this host's certificate: cert=FILE and key=FILE".to_owned()),
            };
        }
        if self.identity.is_some() || self.admin.is_some() {
            return Err(
                "it needs ca=FILE, the certificate of those who signed the members'".into(),
            );
        }
        match self.endpoints.iter().find(|it| !is_loopback(it)) {
            Some(host) => Err(format!(
                "{host} is another host, which is reached over TLS alone: ca=FILE, cert=FILE and key=FILE"
            )),
            None => Ok(()),
        }
    }

    /// The URL of a member.
    pub(super) fn url(&self, endpoint: &str) -> String {
        match self.ca {
            Some(_) => format!("https://{endpoint}"),
            None => format!("http://{endpoint}"),
        }
    }

    /// The store as messages and the memory of this host name it: without its options, and with the members in order.
    pub(super) fn shown(&self) -> PathBuf {
        let mut endpoints = self.endpoints.clone();
        endpoints.sort();
        format!("etcd://{}/{}", endpoints.join(","), self.name).into()
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=MOST_NAME_BYTES).contains(&name.len()) && name.chars().all(allowed)
}

fn is_endpoint(host: &str) -> bool {
    let Some((name, port)) = host.rsplit_once(':') else {
        return false;
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    !name.is_empty() && name.chars().all(allowed) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn seconds(value: &str) -> Result<Duration, String> {
    match value.parse::<u64>() {
        Ok(secs @ 1..=300) => Ok(Duration::from_secs(secs)),
        _ => Err(format!(
            "its engine-timeout '{value}' is not 1 to 300 seconds"
        )),
    }
}

fn milliseconds(value: &str) -> Result<Duration, String> {
    match value.parse::<u64>() {
        Ok(millis @ 0..=1000) => Ok(Duration::from_millis(millis)),
        _ => Err(format!("its fresh '{value}' is not 0 to 1000 milliseconds")),
    }
}

fn bytes(value: &str) -> Result<u64, String> {
    match value.parse::<u64>() {
        Ok(bytes @ 1..) => Ok(bytes),
        _ => Err(format!("its quota '{value}' is not a number of bytes")),
    }
}

type Pair = Option<(PathBuf, PathBuf)>;

fn both(
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    one: &str,
    other: &str,
) -> Result<Pair, String> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, None) => Ok(None),
        _ => Err(format!("it needs both {one}=FILE and {other}=FILE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Location, String> {
        Location::parse(Path::new(text))
    }

    #[test]
    fn what_a_location_says() {
        let it =
            parsed("etcd://127.0.0.1:2,[::1]:3,localhost:1/a-b.c?engine-timeout=3&fresh=0&quota=8")
                .unwrap();
        assert_eq!(it.endpoints, ["127.0.0.1:2", "[::1]:3", "localhost:1"]);
        assert_eq!((it.name.as_str(), it.timeout.as_secs()), ("a-b.c", 3));
        assert_eq!((it.fresh, it.quota), (Duration::ZERO, Some(8)));
        assert_eq!(
            it.shown(),
            Path::new("etcd://127.0.0.1:2,[::1]:3,localhost:1/a-b.c")
        );
        let it = parsed("etcd://a.example:1,b.example:1/x?ca=/c&cert=/d&key=/e").unwrap();
        assert_eq!(it.url(&it.endpoints[0]), "https://a.example:1");
    }

    #[test]
    fn what_is_no_location() {
        for (text, why) in [
            ("etcd://", "names no store"),
            ("etcd://h:1", "names no store"),
            ("etcd:///x", "is not HOST:PORT"),
            ("etcd://localhost/x", "is not HOST:PORT"),
            ("etcd://localhost:0/x", "is not HOST:PORT"),
            ("etcd://localhost:1,localhost:1/x", "twice"),
            ("etcd://localhost:1/", "no name of a store"),
            ("etcd://localhost:1/a/b", "no name of a store"),
            ("etcd://localhost:1/x?nonsense=1", "no option 'nonsense'"),
            ("etcd://localhost:1/x?fresh", "has no value"),
            ("etcd://localhost:1/x?fresh=1&fresh=1", "twice"),
            ("etcd://localhost:1/x?engine-timeout=0", "not 1 to 300"),
            ("etcd://localhost:1/x?quota=none", "not a number"),
            ("etcd://h.example:1/x", "over TLS alone"),
            ("etcd://10.0.0.1:1/x", "over TLS alone"),
            ("etcd://h.example:1/x?ca=/c", "this host's certificate"),
            (
                "etcd://h.example:1/x?ca=/c&cert=/d",
                "both cert=FILE and key=FILE",
            ),
            ("etcd://localhost:1/x?cert=/d&key=/e", "needs ca=FILE"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
