//! PKCS#11 semantics over the HSM: sessions, searches, operations, mechanisms. It knows nothing of sockets.
