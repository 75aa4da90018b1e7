//! Redirections, dd, tee: what scripts write files with.

use super::{Again, each, tools};

tools! {
    cat: each(r#"cat "$F" > "$D/$N""#);
    busybox_cat: each(r#"busybox cat "$F" > "$D/$N""#);
    cat_no_clobber: each(r#"set -C; cat "$F" > "$D/$N""#)
        .again(Again::Never("the shell refuses an existing name"));
    cat_append: each(r#"cat "$F" >> "$D/$N""#)
        .again(Again::Never("it would append to what is there"));
    cat_append_to_new: each(r#": > "$D/$N"; cat "$F" >> "$D/$N""#)
        .again(Again::Never("it would append to what is there"));
    // head closes its descriptor with the blob incomplete; tail completes it.
    head_then_tail: each(r#"(head -c 100 "$F"; tail -c +101 "$F") > "$D/$N""#);
    tee: each(r#"cat "$F" | tee "$D/$N" > "$T/tee""#);
    sponge: each(r#"B=$(base64 -w0 "$F"); echo "$B" | base64 -d > "$D/$N""#);
    dd: each(r#"dd if="$F" of="$D/$N" status=none"#);
    dd_7: each(r#"dd if="$F" of="$D/$N" bs=7 status=none"#);
    dd_1000: each(r#"dd if="$F" of="$D/$N" bs=1000 status=none"#);
    dd_4097: each(r#"dd if="$F" of="$D/$N" bs=4097 status=none"#);
    dd_1m: each(r#"dd if="$F" of="$D/$N" bs=1M status=none"#);
    dd_two_sizes: each(r#"dd if="$F" of="$D/$N" ibs=33 obs=100 status=none"#);
    dd_fsync: each(r#"dd if="$F" of="$D/$N" bs=511 conv=fsync status=none"#);
    dd_fdatasync: each(r#"dd if="$F" of="$D/$N" bs=511 conv=fdatasync status=none"#);
    dd_notrunc: each(r#"dd if="$F" of="$D/$N" bs=511 conv=notrunc status=none"#);
    dd_excl: each(r#"dd if="$F" of="$D/$N" bs=511 conv=excl status=none"#)
        .again(Again::Never("it refuses an existing name"));
    dd_direct: each(r#"dd if="$F" of="$D/$N" bs=512 oflag=direct status=none"#);
    dd_sync: each(r#"dd if="$F" of="$D/$N" bs=512 oflag=sync status=none"#);
    dd_sparse: each(r#"dd if="$F" of="$D/$N" bs=512 conv=sparse status=none"#);
    busybox_dd: each(r#"busybox dd if="$F" of="$D/$N" bs=1000 2> "$T/err""#);
}
