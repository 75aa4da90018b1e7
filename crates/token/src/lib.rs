//! PKCS#11 semantics over the HSM: sessions, searches, operations, mechanisms. It knows nothing of sockets.

mod error;
#[allow(dead_code)] // until sessions call it
mod mechanism;
#[allow(dead_code)] // until sessions call it
mod operation;
#[cfg(test)]
mod testing;
