//! The PKCS#11 module of slotfs.
