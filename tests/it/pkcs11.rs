//! The token server and the PKCS#11 module.

mod table;
