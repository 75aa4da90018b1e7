//! slotfs as a part of the system: mount(8) and fstab, systemd, descriptors that others opened.

mod descriptor;
mod mount_helper;
mod systemd;
