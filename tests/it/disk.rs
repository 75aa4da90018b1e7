//! A disk of the tests' own: a small filesystem over memory, mounted by FUSE in this process, that holds a
//! store's folder. It knows what was synced and what was only written, so a test can take the power away at
//! any request and look at what a real disk could hold afterwards; and it can fail as disks do.
//!
//! It assumes of a disk exactly what SQLite's documentation assumes: what `fsync`
//! covered stays; a name stays when its folder was synced; anything else may stay or go, sector by sector of
//! 512 bytes; a torn write harms no byte outside of what it wrote.

use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use fuser::{BackgroundSession, Config, MountOption, SessionACL};

use crate::fixture::{unmount, wait_for};

mod fault;
mod serve;
mod state;
mod survive;

pub use fault::Faults;
pub use serve::Cut;
pub use state::{Kind, When};
pub use survive::{Image, Survives};

use serve::{Serve, Shared};

/// A mounted disk; unmounts when it goes.
pub struct Disk {
    pub point: PathBuf,
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
}

impl Disk {
    /// Mounts a disk that holds `image`, all of it durable.
    pub fn mount(point: &Path, image: &Image) -> Self {
        Self::mount_as(point, image, MountOption::RW)
    }

    /// The same, where the kernel knows that nothing can be written.
    pub fn mount_read_only(point: &Path, image: &Image) -> Self {
        Self::mount_as(point, image, MountOption::RO)
    }

    fn mount_as(point: &Path, image: &Image, access: MountOption) -> Self {
        std::fs::create_dir_all(point).unwrap();
        let shared = Arc::new(Shared::new(image));
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("slotfs-test-disk".into()),
            MountOption::DefaultPermissions,
            access,
        ];
        config.acl = SessionACL::Owner;
        // One request at a time: while one is held, nothing else gets done.
        config.n_threads = Some(1);
        let session = fuser::spawn_mount(Serve(Arc::clone(&shared)), point, &config)
            .unwrap_or_else(|e| panic!("cannot mount the disk: {e}"));
        Self {
            point: point.to_owned(),
            shared,
            session: Some(session),
        }
    }

    /// Takes the power away at `cut`, and kills `victim` (see [`Disk::set_victim`]) before that is answered.
    pub fn cut_at(&self, cut: Cut) {
        self.lock().cut = Some(cut);
    }

    /// Says who is to be killed at the cut: until then the cut waits for it.
    pub fn set_victim(&self, pid: nix::unistd::Pid) {
        self.lock().victim = Some(pid);
        self.shared.changed.notify_all();
    }

    /// Starts counting anew.
    pub fn count_from_here(&self) {
        self.lock().state.steps.clear();
    }

    /// What was written and synced since, in order.
    pub fn steps(&self) -> Vec<Kind> {
        self.lock().state.steps.clone()
    }

    /// The images that the cut left, or `None` when it was never reached.
    pub fn images(&self) -> Option<Vec<(Survives, Image)>> {
        self.lock().images.take()
    }

    /// What is on the disk if nothing is lost.
    pub fn image(&self) -> Image {
        self.lock().state.image(Survives::Everything)
    }

    /// What is on it if the power goes now and nothing is kept that was not synced.
    pub fn durable(&self) -> Image {
        self.lock().state.image(Survives::Synced)
    }

    /// Switches faults on, or off with [`Faults::default`].
    pub fn fail(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// How many requests were refused by a fault so far: a test that sees none tested nothing.
    pub fn refused(&self) -> usize {
        self.lock().refused
    }

    fn lock(&self) -> MutexGuard<'_, serve::Inner> {
        self.shared.lock()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.fail(Faults::default());
        // Whoever was killed has its files closed by the kernel a moment later.
        let gone = wait_for(|| unmount(&self.point, "-u").then_some(()));
        if gone.is_none() {
            unmount(&self.point, "-uz");
        }
        if let Some(session) = self.session.take()
            && gone.is_some()
        {
            // It was unmounted above: that the session cannot do it again is no error.
            let _ = session.umount_and_join();
        }
        assert!(
            gone.is_some() || std::thread::panicking(),
            "the disk was still in use"
        );
    }
}
