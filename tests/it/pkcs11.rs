//! The token server and the PKCS#11 module.

// mod page; once crates/pkcs11 exports its functions: it runs the page with the module.
mod table;
