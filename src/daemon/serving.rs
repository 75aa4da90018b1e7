//! The token server of a mount: its daemon serves the same socket as `slotfs serve`, if no other server has the store.

use std::sync::Arc;

use slotfs_config::Config;

use super::MountOptions;
use crate::hsm::Hsm;
use crate::serve::{At, HeldBy, Server};
use crate::shown;

/// The server of a mount, while it has the lock. No failure here ends the mount.
pub(super) struct Serving {
    hsm: Arc<Hsm>,
    /// `None` if this mount never serves.
    config: Option<Config>,
    server: Option<Server>,
    /// What was logged last about why there is no server, so that it is logged once.
    said: Option<String>,
}

impl Serving {
    /// Serves the store of `hsm` unless the options say that the mount is all.
    pub(super) fn start(hsm: &Arc<Hsm>, options: &MountOptions) -> Self {
        // A program could change keys through the server of a mount that is read-only.
        let wanted = !options.no_socket && !options.is_read_only();
        let config = wanted.then(|| Config::load(true));
        let config = config.and_then(|config| match config {
            Ok(mut config) => {
                config.use_store(hsm.path().to_owned());
                Some(config)
            }
            Err(why) => {
                log::warn!("applications cannot use the keys: {why}");
                None
            }
        });
        let mut serving = Self {
            hsm: Arc::clone(hsm),
            config,
            server: None,
            said: None,
        };
        serving.tend();
        serving
    }

    /// Looks after the server, and takes over from another one that has ended.
    pub(super) fn tend(&mut self) {
        let Some(config) = &self.config else { return };
        if let Some(server) = &self.server {
            server.house_keeping();
            if server.is_in_place() {
                return;
            }
            log::warn!("the socket of the token server was removed or replaced");
            self.server = None;
        }
        let why = match Server::start(&self.hsm, config, At::configured(config)) {
            Ok(Ok(server)) => {
                (self.server, self.said) = (Some(server), None);
                return;
            }
            Ok(Err(HeldBy(Some(pid)))) => format!("process {pid} serves the store already"),
            Ok(Err(HeldBy(None))) => "another process serves the store already".into(),
            Err(why) => format!("applications cannot use the keys: {why}"),
        };
        if self.said.as_ref() != Some(&why) {
            log::info!("{}: {why}", shown::path(self.hsm.path()));
            self.said = Some(why);
        }
    }

    /// Takes over what can change while it serves.
    pub(super) fn reload(&mut self, config: &Config) {
        if let Some(own) = &mut self.config {
            own.linger_secs = config.linger_secs;
        }
        if let Some(server) = &self.server {
            server.set_linger(config.linger_secs);
        }
    }

    /// Ends the server for good.
    pub(super) fn stop(&mut self) {
        (self.config, self.server) = (None, None);
    }
}
