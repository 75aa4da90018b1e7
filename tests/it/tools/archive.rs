//! tar and cpio. They unlink an existing target first, so a second extraction makes every object anew.

use super::{Again, each, script, tools};

tools! {
    gnu_tar_file: script(r#"tar -C "$S" -cf "$T/a.tar" . && tar -C "$D" -xf "$T/a.tar""#);
    gnu_tar_pipe: script(r#"tar -C "$S" -cf - . | tar -C "$D" -xf -"#);
    gnu_tar_names: script(r#"(cd "$S" && tar -cf - *) | tar -C "$D" -xf -"#);
    gnu_tar_overwrite: script(r#"tar -C "$S" -cf - . | tar -C "$D" --overwrite -xf -"#);
    gnu_tar_zipped: script(r#"tar -C "$S" -czf - . | tar -C "$D" -xzf -"#);
    gnu_tar_to_stdout: each(r#"tar -C "$S" -cf - "$N" | tar -xOf - > "$D/$N""#);
    bsdtar_file: script(r#"bsdtar -C "$S" -cf "$T/a.tar" . && bsdtar -C "$D" -xf "$T/a.tar""#);
    bsdtar_pipe: script(r#"bsdtar -C "$S" -cf - . | bsdtar -C "$D" -xf -"#);
    bsdtar_names: script(r#"(cd "$S" && bsdtar -cf - *) | bsdtar -C "$D" -xf -"#);
    busybox_tar: script(r#"busybox tar -C "$S" -cf - . | busybox tar -C "$D" -xf -"#)
        .gives_up();
    cpio_pass: script(r#"cd "$S" && find . -type f | cpio -p --quiet "$D""#);
    cpio_pass_unconditional: script(r#"cd "$S" && find . -type f | cpio -pu --quiet "$D""#);
    cpio_pass_times: script(r#"cd "$S" && find . -type f | cpio -pm --quiet "$D""#);
    cpio_out_in: script(
        r#"(cd "$S" && find . -type f | cpio -o --quiet) | (cd "$D" && cpio -iu --quiet)"#
    );
    bsdcpio_pass: script(r#"cd "$S" && find . -type f | bsdcpio -p --quiet "$D""#)
        .again(Again::Never("it refuses what is not older"))
        .gives_up();
}
