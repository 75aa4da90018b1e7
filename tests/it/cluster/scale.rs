//! Many objects. Times are printed, not judged: the bench judges them.

use super::fixture::{LONG, Site, timed};
use crate::fixture::names;

/// A cluster advertises 250,000; the bench has 100,000 of them.
const KEYS: u32 = 20_000;
/// What one command makes.
const AT_ONCE: u32 = 5_000;

#[test]
fn many_objects_are_listed_cloned_read_and_sealed_anew() {
    let site = Site::new(AT_ONCE);
    let ((), taken) = timed(|| {
        for _ in 1..KEYS / AT_ONCE {
            site.first.aes(0, AT_ONCE);
        }
    });
    println!("{} generated: {taken:?}", KEYS - AT_ONCE);
    let host = site.host(&[LONG]);
    let clone = "--active-slot 0 partition clone -o all -s 1 -f --password-file 0=pw-0 --password-file 1=pw-1";
    let (_, taken) = timed(|| host.run(clone).ok());
    println!("{KEYS} cloned: {taken:?}");
    let mount = host.start(&[0, 1]);
    for slot in ["0", "1"] {
        let (listed, taken) = timed(|| names(&mount.point.join(slot)));
        println!("slot {slot}: {KEYS} listed: {taken:?}");
        assert_eq!(listed.len(), KEYS as usize);
    }
    let script = r#"cd "$M/1" && ls | shuf -n 500 --random-source=/dev/zero | while read -r f; do cmp "$f" "$M/0/$f" || exit 1; done"#;
    let (_, taken) = timed(|| crate::fixture::sh(script, &[("M", &mount.point)]).ok());
    println!("500 compared: {taken:?}");
    drop(mount);
    let reset =
        "role resetpw -name co -newpasswordfile pw-1 -force -slot 0 --password-file 0:po=pw-0";
    let (_, taken) = timed(|| host.run(reset).ok());
    println!("{KEYS} sealed anew: {taken:?}");
    let (_, taken) = timed(|| {
        host.run("store check --password-file 0=pw-1 --password-file 1=pw-1")
            .ok()
    });
    println!("{} checked: {taken:?}", 2 * KEYS);
}
