//! What names a store: the path of a file, or a location in a cluster, `etcd://HOST:PORT,…/NAME?OPTIONS` (docs/cluster.md).

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use slotfs_wire::StoreId;

use crate::place;

/// Options of a location that name files.
const FILES: [&str; 5] = ["ca", "cert", "key", "admin-cert", "admin-key"];

/// Whether `store` names a store in a cluster, and no file.
pub fn is_in_cluster(store: &Path) -> bool {
    store.as_os_str().as_bytes().starts_with(b"etcd://")
}

/// The same store, named so that it means the same in another folder.
///
/// # Errors
/// When the current folder cannot be found out.
pub fn absolute(store: &Path) -> io::Result<PathBuf> {
    let Some(location) = store.to_str().filter(|_| is_in_cluster(store)) else {
        return std::path::absolute(store);
    };
    let Some((place, options)) = location.split_once('?') else {
        return Ok(store.to_owned());
    };
    let mut absolute = Vec::new();
    for option in options.split('&') {
        absolute.push(match option.split_once('=') {
            Some((name, file)) if FILES.contains(&name) && !file.is_empty() => {
                let file = std::path::absolute(file)?;
                format!("{name}={}", file.to_string_lossy())
            }
            _ => option.to_owned(),
        });
    }
    Ok(format!("{place}?{}", absolute.join("&")).into())
}

/// Whether an option of a location names a file by a relative path, which means another file in another folder.
pub fn has_relative_files(store: &Path) -> bool {
    let options = store.to_str().and_then(|it| it.split_once('?'));
    let mut options = options.map_or("", |it| it.1).split('&');
    options.any(|option| match option.split_once('=') {
        Some((name, file)) => FILES.contains(&name) && Path::new(file).is_relative(),
        None => false,
    })
}

/// The location with an option, in the place of one of the same name.
pub fn with_option(store: &Path, name: &str, value: &str) -> PathBuf {
    let Some(location) = store.to_str() else {
        return store.to_owned();
    };
    let (place, options) = location.split_once('?').unwrap_or((location, ""));
    let is_other = |option: &&str| {
        !option.is_empty()
            && option
                .split_once('=')
                .is_none_or(|(other, _)| other != name)
    };
    let mut options: Vec<&str> = options.split('&').filter(is_other).collect();
    let option = format!("{name}={value}");
    options.push(&option);
    format!("{place}?{}", options.join("&")).into()
}

/// The name that every process of this host has for the store: its path without links, or its location without options and
/// with the members in order.
///
/// # Errors
/// When there is no such file.
pub fn canonical(store: &Path) -> io::Result<PathBuf> {
    let Some(location) = store.to_str().filter(|_| is_in_cluster(store)) else {
        return fs::canonicalize(store);
    };
    let place = location.split_once('?').map_or(location, |it| it.0);
    let rest = place.strip_prefix("etcd://").unwrap_or_default();
    let (hosts, name) = rest.split_once('/').unwrap_or((rest, ""));
    let mut hosts: Vec<&str> = hosts.split(',').collect();
    hosts.sort_unstable();
    Ok(format!("etcd://{}/{name}", hosts.join(",")).into())
}

/// The canonical name of a store, and what tells it from every other one that the name may have meant before.
///
/// # Errors
/// When there is no such file.
pub fn identify(store: &Path) -> io::Result<(PathBuf, StoreId)> {
    let store = canonical(store)?;
    if is_in_cluster(&store) {
        // There is no file; the name is all that both sides can compare.
        let name = place::number(&store);
        let [device, inode] = [(name >> 64) as u64, name as u64];
        return Ok((store, StoreId { device, inode }));
    }
    let there = fs::metadata(&store)?;
    if !there.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let id = StoreId {
        device: there.dev(),
        inode: there.ino(),
    };
    Ok((store, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_stays_a_location() {
        let here = std::env::current_dir().unwrap();
        let named = Path::new("etcd://b:1,a:1/x?ca=c.pem&fresh=0&key=/k");
        let ca = here.join("c.pem");
        let here = format!(
            "etcd://b:1,a:1/x?ca={}&fresh=0&key=/k",
            ca.to_str().unwrap()
        );
        assert_eq!(absolute(named).unwrap(), Path::new(&here));
        assert_eq!(canonical(named).unwrap(), Path::new("etcd://a:1,b:1/x"));
        let other = Path::new("etcd://a:1,b:1/x");
        assert_eq!(identify(named).unwrap(), identify(other).unwrap());
        assert_ne!(
            identify(other).unwrap().1,
            identify(Path::new("etcd://a:1,b:1/y")).unwrap().1
        );
        let with = with_option(&with_option(other, "fresh", "1"), "fresh", "2");
        assert_eq!(with, Path::new("etcd://a:1,b:1/x?fresh=2"));
        assert!(!is_in_cluster(Path::new("/etcd://a:1/x")));
        assert!(has_relative_files(named));
        assert!(!has_relative_files(other));
        let whole = Path::new("etcd://a:1/x?fresh=0&ca=/c.pem");
        assert!(!has_relative_files(whole));
    }
}
